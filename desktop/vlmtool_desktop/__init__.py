"""The window of vlmtool: all Qt, no torch. State is in `session`, threads are in `bridge`."""
