"""Environment variables as shells, containers and launchers set them; None unsets one."""

ENVIRONMENTS: tuple[dict[str, str | None], ...] = (
    {"LC_ALL": "C"},
    {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {"LC_ALL": "ko_KR.EUC-KR", "LANG": "ko_KR.EUC-KR"},
    {"LC_ALL": None, "LANG": None, "LC_CTYPE": None},
    {"LC_ALL": "no_SUCH.locale"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0", "LC_ALL": "C"},
    {"PYTHONIOENCODING": "cp949"},
    {"PYTHONIOENCODING": "utf-16"},
    {"PYTHONUTF8": "0"},
    {"HOME": None},
    {"HOME": "/proc/nobody"},
    {"HOME": "/dev/null"},
    {"HOME": "", "XDG_CACHE_HOME": "/dev/null", "XDG_CONFIG_HOME": "/dev/null"},
    {"MPLCONFIGDIR": "/proc"},
    {"MPLBACKEND": "garbage"},
    {"TMPDIR": None},
    {"TMPDIR": "/nowhere"},
    {"TMPDIR": "/proc"},
    {"PATH": None},
    {"PATH": ""},
    {"TERM": "dumb"},
    {"TERM": None},
    {"TERM": "\x1b[2J garbage"},
    {"COLUMNS": "1"},
    {"COLUMNS": "0"},
    {"COLUMNS": "-5", "LINES": "-5"},
    {"COLUMNS": "abc"},
    {"COLUMNS": "100000"},
    {"TTY_COMPATIBLE": "1", "FORCE_COLOR": "1"},
    {"NO_COLOR": "1"},
    {"TZ": "garbage/nowhere"},
    {"CUDA_VISIBLE_DEVICES": "garbage"},
    {"PYTHONHASHSEED": "0"},
    {"PYTHONHASHSEED": "4294967295"},
    {"PYTHONOPTIMIZE": "1"},
    {"PYTHONUNBUFFERED": "1"},
    {"ASRBENCH_PARENT": ""},
)

THREADS: tuple[dict[str, str | None], ...] = tuple(
    {"OMP_NUM_THREADS": value} for value in ("abc", "0", "-1", "", "99999999999999999999")
)
"""Values that are no number of threads, so that figures of torch may differ in their last bits."""

RANKS: tuple[dict[str, str | None], ...] = (
    {"WORLD_SIZE": "abc"},
    {"WORLD_SIZE": "0"},
    {"WORLD_SIZE": "-1"},
    {"WORLD_SIZE": ""},
    {"WORLD_SIZE": "2"},
    {"WORLD_SIZE": "1", "RANK": "-1"},
    {"WORLD_SIZE": "2", "RANK": "5", "LOCAL_RANK": "5"},
    {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "abc"},
    {"RANK": "abc"},
    {"LOCAL_RANK": "abc"},
)
"""What torchrun sets, but not as it would."""
