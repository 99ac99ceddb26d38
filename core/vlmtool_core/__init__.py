"""The core of vlmtool: media, engine, store, learning and the command line. No Qt in here."""

__version__ = "0.1.0"
