"""Decodes compressed and foreign formats in worker processes, so that a file can only fail itself.

`open_media` gives a `RemoteSource` for them: it looks like the source itself, but every call runs
in a worker with a limit on memory and time. Uncompressed grey DICOM, which numpy reads without a
decoder, stays in the process. `VLMTOOL_DECODE=here` keeps everything in the process (to debug).

What may be called from afar
----------------------------
Every public method, property and plain attribute of a source (`SourceBase` or a plugin's) may be,
without any declaration; names with an underscore and attributes made by `__getattr__` may not.

- Arguments and results are None, bool, int, float, str, bytes, `Path`, `Fraction`, `datetime`,
  `timedelta`, enumerations and dataclasses of `records` and `media.*`, numpy arrays and masked
  arrays of plain numbers (no structured or object types), and tuples, lists, sets, ranges and
  mappings of these. Any iterable is taken as an argument and arrives as a list. No callbacks, no
  open files.
- A method that yields (a generator function: written with `yield`) is a stream: the worker runs a
  little ahead of its reader, and other calls on the same source may come in between.
- A class lists in `constants` the properties and the methods without arguments whose result never
  changes once it is known (`index`, `times`): they are asked for once and then kept.
- `info` may be replaced by a call (more warnings): the new one comes with that call's answer.
- Whether a source has something is asked of the source: `getattr(source, "levels", None)`; never
  `isinstance` with a class of source, which is `RemoteSource` as a rule.
- Errors of `vlmtool_core.errors` arrive as they were raised; so do IndexError, ValueError and
  TypeError. Anything else becomes a `DamagedMediaError` that names the file.
- Python loops that may take long (a pass over all packets or frames inside one call) call
  `safe.life.sign()` now and then; without a sign of life the watchdog ends the call.
- Module state of one file is no state of the next: a worker serves many files, and a source may be
  opened again in another worker when its own was ended.
"""
