"""Odd command lines, of every command and option that the application has. A command line that is
refused leaves no file, and no command changes the recordings, the spec or the corpus that it reads.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from attack.attempt import Attack, Attempt, refused
from attack.bounded import Outcome, run
from attack.leftovers import State, difference, state

SHORT = ("--device", "cpu")

COMMANDS: dict[str, tuple[str, ...]] = {
    "prep table": ("tones.tsv", "--out", "new"),
    "prep synthetic": ("--hours", "0.001", "--out", "new"),
    **{
        f"prep {name}": ("source", "--out", "new")
        for name in (
            "an4",
            "ksponspeech",
            "librispeech",
            "zeroth",
            "commonvoice",
            "kaldi",
            "lhotse",
        )
    },
    "prep nemo": ("tones.tsv", "--out", "new"),
    "corpus": ("corpus",),
    "plan": ("tiny.yaml", "--only", "ds2", "--results", "new", *SHORT),
    "train": ("tiny.yaml", "--only", "ds2", "--results", "new", "--max-hours", "1e-5", *SHORT),
    "eval": ("results/tiny/ds2", *SHORT),
    "inspect": ("results/tiny/ds2", "--count", "1", *SHORT),
    "compare": ("results", "--replicates", "50", "--out", "new"),
    "verify": ("results", "corpus"),
    "models": (),
    "check": ("plugin.py",),
    "transcribe": ("results/tiny/ds2", "test0.wav", *SHORT),
    "export": ("results/tiny/ds2", "--out", "new"),
    "score": ("a=ref.tsv", "b=hyp.tsv", "--ref", "ref.tsv", "--replicates", "50"),
}
"""A command line of every command that works in the home, or would with a source of its recipe."""

PLUGIN = "raise ValueError('this plug-in is broken')\n"

NUMBERS = (
    *("-1", "0", "1", "-0", "+1", "1e30", "1e300", "-1e300", "5e-324", "nan", "inf", "-inf", "1.5"),
    *(str(10**9), str(2**31), str(2**63 - 1), str(2**63), str(10**30), "9" * 5000, "0x10", "1_000"),
)
TEXTS = (
    *("", " ", "a", "ds2", "text", "greedy", "true", "=", "a=b", "a=", "=b", "-", "--", "--help"),
    *(
        "\udcff\udcfe",
        "\x1b[2J",
        "\u202e",
        "가",
        "\ufeff",
        "a\nb",
        "%s%n",
        "{}",
        "[]",
        "*",
        "$(id)",
    ),
    *(
        "(",
        "(a+)+$",
        "a" * 4000,
        "1" * 20 + "=" + "2" * 20,
        "model.name=x",
        "a.b=1",
        "..=1",
        "/0/1",
    ),
)
PATHS = (
    *("", ".", "..", "/", "/dev/zero", "/dev/null", "/dev/stdin", "/proc/self/mem", "/no/such"),
    *("no-such", "tiny.yaml", "tones.tsv", "train0.wav", "corpus", "results", "corpus/train.arrow"),
    *("fifo", "circle", "dangling", "closed", "a" * 4000, "a/" * 2000, "~", "~root", "corpus/.."),
    *(
        "results/tiny/ds2",
        "file:///etc/passwd",
        "http://localhost/",
        "\udcff\udcfe",
        "a\nb.tsv",
        "~nobody/x",
    ),
)
WRITTEN = ("--out", "--results", "--plot")
"""Options that name what is written; they get no place outside the home."""

Command = tuple[str, ...]


@cache
def options_of(command: str) -> dict[str, bool]:
    """Returns the options of a command, and for each of them whether it is a flag."""
    import typer

    from asrbench.cli.app import app

    found: Any = typer.main.get_command(app)
    for name in command.split():
        found = found.commands[name]
    return {
        option: parameter.is_flag
        for parameter in found.params
        if parameter.param_type_name == "option"
        for option in (*parameter.opts, *parameter.secondary_opts)
    }


def names() -> list[str]:
    """Returns the names of all commands, as in `prep table`."""
    from asrbench.stages.prep import RECIPES

    return [*(f"prep {name}" for name in RECIPES), *(n for n in COMMANDS if " " not in n)]


def _furnished(folder: Path) -> State:
    """Adds what odd command lines name; returns the state of the folder."""
    os.mkfifo(folder / "fifo")
    (folder / "circle").symlink_to("circle")
    (folder / "dangling").symlink_to("nowhere")  # a name that no command line writes
    (folder / "plugin.py").write_text(PLUGIN, encoding="utf-8")
    (folder / "ref.tsv").write_text("u1\tone two\nu2\tthree\n", encoding="utf-8")
    (folder / "hyp.tsv").write_text("u1\tone too\nu2\tthree\n", encoding="utf-8")
    (folder / "source").mkdir()
    (folder / "closed").mkdir(mode=0)
    shutil.copytree(
        folder, folder.with_name(f"{folder.name}-whole"), symlinks=True, copy_function=_copy
    )
    return state(folder)


def _copy(source: str, target: str) -> object:
    return os.mkfifo(target) if Path(source).is_fifo() else shutil.copy2(source, target)


def _judged(folder: Path, before: State) -> Callable[[Outcome], str | None]:
    """Returns a check: no source was changed, and a refused command has left nothing."""

    def check(outcome: Outcome) -> str | None:
        found = difference(before, folder)
        if found is None:
            return None
        sources = [name for name in before if "/" not in name and not name.startswith("results")]
        after = state(folder)
        changed = [name for name in sources if before[name] != after.get(name)]
        if changed:
            return f"{changed[0]} was changed"
        line = outcome.refusal
        return None if line is None or _after_work(line) else f"refused ({line[:100]}), but {found}"

    return check


def _after_work(line: str) -> bool:
    """Whether the line is one of those that a command says when it has done all that it could."""
    return "runs failed, see above" in line or line.startswith("the study lacks ")


def _attempts(
    folder: Path, draw: random.Random, count: int, odd: Callable[[str], list[tuple[str, Command]]]
) -> Iterator[Attempt]:
    """Yields attempts with the odd command lines that `odd` makes of every command, in turns."""
    before = _furnished(folder)
    whole = folder.with_name(f"{folder.name}-whole")
    lines = {name: odd(name) for name in names()}
    for each in lines.values():
        draw.shuffle(each)
    made = 0
    while made < count and any(lines.values()):
        for name in [name for name in lines if lines[name]]:
            what, arguments = lines[name].pop()
            command = (*name.split(), *arguments)
            yield Attempt(
                f"{name}: {what}",
                command,
                _judged(folder, before),
                make=_patiently(command, folder),
            )
            made += 1
            if difference(before, folder) is not None:
                _restore(folder, whole)
                before = state(folder)


def _patiently(command: Command, folder: Path) -> Callable[[], Outcome] | None:
    """`plan` measures for several seconds, and another process imports torch anew."""
    slow = command[0] == "plan" or "--parallel" in command
    return partial(run, *command, folder=folder, seconds=60) if slow else None


def _restore(folder: Path, whole: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(whole, folder, symlinks=True, copy_function=_copy)


def _values(name: str) -> list[tuple[str, Command]]:
    found: list[tuple[str, Command]] = []
    for option, is_flag in options_of(name).items():
        for value in () if is_flag else (*NUMBERS, *TEXTS, *PATHS):
            if not (option in WRITTEN and value.startswith(("/", "..", "~"))):
                given = _without(COMMANDS[name], option)
                found.append((f"{option} {value[:40]!r}", (*given, option, value)))
    return found


def _without(arguments: Command, option: str) -> Command:
    if option not in arguments:
        return arguments
    place = arguments.index(option)
    return (*arguments[:place], *arguments[place + 2 :])


def _positional(name: str) -> list[tuple[str, Command]]:
    given = COMMANDS[name]
    places = [
        i
        for i, text in enumerate(given)
        if not text.startswith("-") and (i == 0 or not given[i - 1].startswith("--"))
    ]
    prefix = "a=" if name == "score" else ""
    return [
        (f"argument {value[:40]!r}", (*given[:i], prefix + value, *given[i + 1 :]))
        for i in places
        for value in (*PATHS, *TEXTS)
        # All audio of the machine below a folder would be transcribed.
        if not (name == "transcribe" and value in ("/", ".."))
    ]


def _shapes(name: str) -> list[tuple[str, Command]]:
    """Arguments that are missing, doubled, in another order, or of another command."""
    given, own = COMMANDS[name], options_of(name)
    found: list[tuple[str, Command]] = [("no arguments", ())] if name != "models" else []
    for i, text in enumerate(given):
        found.append((f"without {text!r}", (*given[:i], *given[i + 1 :])))
        found.append((f"{text!r} twice", (*given[: i + 1], *given[i:])))
    foreign = {option for other in names() for option in options_of(other)} - own.keys()
    found += [(f"{option}, of another command", (*given, option)) for option in sorted(foreign)]
    found += [(f"{option}=, without a value", (*given, f"{option}=")) for option in own]
    found += [(f"{option} at the end", (*given, option)) for option in own]
    found += [("--no-such", (*given, "--no-such")), ("-x", (*given, "-x"))]
    # `transcribe` has a line for each file that it cannot read.
    many = [] if name == "transcribe" else [("1,000 arguments", (*given, *["no-such"] * 1000))]
    return [*found, *many]


def _odd_values(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    return _attempts(folder, draw, count, _values)


def _odd_arguments(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    return _attempts(folder, draw, count, _positional)


def _odd_shapes(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    return _attempts(folder, draw, count, _shapes)


# What is asked is more than there is


def _astronomic(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """Numbers beyond all use: the command works as with the most that there is, or refuses."""
    plan = ("plan", *COMMANDS["plan"])
    train = ("train", *COMMANDS["train"])
    lines: list[Command] = [
        *((*plan, "--hours", hours) for hours in ("1e30", "1e300", "5e-324")),
        *((*plan, "--hours", "1", "--gpus", gpus) for gpus in (str(10**9), str(10**30))),
        (*plan, "--hours", "1e-9", "--gpus", str(10**9), "--set", "train.epochs=1000000000"),
        *((*plan, "--set", f"train.epochs={epochs}") for epochs in (10**9,)),
        (*train, "--max-hours", "1e300", "--set", "train.epochs=1"),
        *((*train, "--parallel", number) for number in (str(10**9), str(10**30))),
        (*train, "--set", "run.workers=1000000000"),
        (*train, "--seed", str(2**63 - 1)),
        (*train, "--seed", str(2**63)),
        ("prep", "table", "tones.tsv", "--out", "new", "--jobs", str(10**9)),
        ("prep", "table", "tones.tsv", "--out", "new", "--jobs", str(10**30)),
        ("prep", "table", "tones.tsv", "--out", "new", "--dev", str(10**30)),
        ("corpus", "corpus", "--audio", str(10**30)),
        ("inspect", *COMMANDS["inspect"], "--count", str(10**30)),
        ("compare", "results", "--out", "new", "--replicates", str(10**9)),
        ("compare", "results", "--out", "new", "--replicates", str(10**30)),
        ("compare", "results", "--out", "new", "--replicates", "50", "--seed", str(10**30)),
        ("compare", "results", "--out", "new", "--replicates", "50", "--utterances", str(10**30)),
        ("compare", "results", "--out", "new", "--replicates", "50", "--margin", "1e308"),
        ("score", *COMMANDS["score"], "--replicates", str(10**9)),
        ("score", *COMMANDS["score"], "--seed", str(10**30)),
        *(("prep", "synthetic", "--out", "new", "--hours", hours) for hours in ("1e30", "1e300")),
        ("prep", "synthetic", "--out", "new", "--hours", "0.001", "--voices", str(10**9)),
        ("prep", "synthetic", "--out", "new", "--hours", "0.001", "--seed", str(10**30)),
    ]
    draw.shuffle(lines)
    before = _furnished(folder)
    whole = folder.with_name(f"{folder.name}-whole")
    for number in range(count):
        command = lines[number % len(lines)]
        what = " ".join(command[-4:])[:100]
        yield Attempt(what, command, _judged(folder, before), make=_patiently(command, folder))
        _restore(folder, whole)
        before = state(folder)


# A plug-in's sizes

CHECKED = """
from typing import Literal

import asrbench
from asrbench.models.attention.self_attention import OverTimeSpec, SelfAttentionBlock


class PlainAttention(OverTimeSpec):
    kind: Literal["plain"] = "plain"


asrbench.register_attention(PlainAttention, SelfAttentionBlock)
"""

CHECK_SETS = (
    *("model.name=x", "model.name=ds2", "model.name=null", "model=null", "model.encoder=null"),
    *("model.encoder.kind=x", "model.encoder.attention=null", "model.encoder.attention.kind=self"),
    *("model.head.kind=x", "model.encoder.attention.heads=7", "model.encoder.attention.heads=0"),
    *("model.encoder.attention.kind=none", "model.loss_terms=[{kind: x}]", "corpus=nowhere"),
    *("experiment=..", "variant=/", "variant=a/b", "seed=-1", "seed=x", "seeds=[1, 2]", "name=x"),
    *("fold={index: 1, of: 2}", "plugins=[]", "plugins=[x.py]", "run.device=cuda"),
    *("text.unit=jamo", "train=null", "train.epochs=0", "variants={a: }", "grid={a: [1]}", "x=1"),
    *("augment.noise={folders: [/no/such]}", "train.optimizer.lr=0", "", "=", "a", "model.name"),
)


def _checks(folder: Path, draw: random.Random, count: int) -> Iterator[Attempt]:
    """`check` changes sizes with --set; what would check another model or corpus is refused."""
    (folder / "plugin.py").write_text(CHECKED, encoding="utf-8")
    for number in range(count):
        text = CHECK_SETS[number % len(CHECK_SETS)]
        command = ("check", "plugin.py", "--set", text)
        changes_more_than_sizes = text.startswith(
            ("model.name", "experiment", "variant", "plugins")
        )
        yield Attempt(
            f"--set {text}",
            check=refused if changes_more_than_sizes else lambda outcome: None,
            make=partial(run, *command, folder=folder, seconds=120),  # it trains five times
        )


ATTACKS = (
    Attack(
        "command line: values",
        "Every option of every command gets numbers, texts and paths that are odd: huge, negative, "
        "not a number, empty, not UTF-8, 4,000 letters long, a file for a folder, a link that "
        "dangles or leads back to itself, a pipe, /dev/zero.",
        _odd_values,
        4,
    ),
    Attack(
        "command line: arguments",
        "The arguments of every command become such paths and texts.",
        _odd_arguments,
        1.5,
    ),
    Attack(
        "command line: shapes",
        "Arguments are missing, doubled, without a value, or those of another command.",
        _odd_shapes,
        1.5,
    ),
    Attack(
        "command line: astronomic",
        "Hours, devices, processes, seeds, epochs and replicates beyond all use. Here and above, "
        "`plan`, which measures, and `--parallel`, which starts processes, have 60 s.",
        _astronomic,
        0.3,
    ),
    Attack(
        "command line: check --set",
        "A plug-in is checked with odd `--set`s, in 120 s.",
        _checks,
        0.4,
    ),
)
