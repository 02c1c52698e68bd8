"""Names of users' pictures: in commands that are copied to any shell, and as names of folders on any system."""

from __future__ import annotations

import html
import io
import json
import ntpath
import re
import shlex
import shutil
import subprocess
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fcn_core.cli import entry
from fcn_core.cli.heatmap import output_folders
from fcn_core.export import files, shells
from fcn_core.export.shells import as_argument, harmless, join
from fcn_core.images.read import clean_name
from tests.hostile import NAMES
from tests.waiting import PATIENCE

# Paths may have characters that cleaned names do not have, and plain words.
PATHS = (
    "a/b c/dog.png",
    "./-x.png",
    "/x/y.png",
    "a\\b.png",
    "\\\\server\\share\\dog.png",
    "a\\",
    'a\\"b',
    "a\nb & calc",
    '"',
    '"&calc&"',
    "",
)
PLAIN = (
    "python",
    "-m",
    "fcn_core",
    "--synset",
    "n02084071",
    "200x320",
    "0.25",
    "1e-05",
    "efficientnet-lite2",
)
WORDS = (*NAMES, *map(clean_name, NAMES), *PATHS, *PLAIN, "200x320,400x640", "a,b", "1,2")


# Models of cmd.exe and PowerShell, for a line that is one command


class NotOneCommand(Exception):
    """The shell would not run one program with these words."""


def cmd_line(line: str, environment: Mapping[str, str], *, delayed: bool) -> str:
    """Return what cmd.exe passes to a program, by the phases of its parser.

    First ``%NAME%`` is replaced, in quotes or not; then each ``"`` opens or closes a quoted part, and outside of
    one ``& | < > ( )`` end the command or send its output elsewhere, and ``^`` is an escape. Where delayed expansion is
    on, ``!NAME!`` is replaced last, in quotes or not. (``cmd /?`` and ``set /?``; in detail "How does the Windows
    Command Interpreter parse scripts?", Stack Overflow 4094699.)
    """
    if set(line) & set("\0\n\r\x1a"):
        raise NotOneCommand("more than one line")
    line = re.sub("%([^%]+)%", lambda m: environment.get(m[1].upper(), m[0]), line)
    quoted = False
    for character in line:
        quoted ^= character == '"'
        if not quoted and character in "&|<>()^":
            raise NotOneCommand(character)
    if delayed and "!" in line:
        raise NotOneCommand("!")
    return line


def argv(line: str) -> list[str]:
    """Split a command line as programs on Windows do (CommandLineToArgvW)."""
    words: list[str] = []
    word, quoted, at = None, False, 0
    while at < len(line):
        backslashes = len(line[at:]) - len(line[at:].lstrip("\\"))
        follows = line[at + backslashes : at + backslashes + 1]
        if backslashes:
            word = (word or "") + "\\" * (backslashes // 2 if follows == '"' else backslashes)
            at += backslashes
            if follows == '"' and backslashes % 2:
                word, at = word + '"', at + 1
        elif follows == '"':
            word, quoted, at = word or "", not quoted, at + 1
        elif follows in " \t" and not quoted:
            words += [] if word is None else [word]
            word, at = None, at + 1
        else:
            word, at = (word or "") + follows, at + 1
    return words + ([] if word is None else [word])


def powershell_words(line: str) -> Iterator[str]:
    """Split a line as PowerShell does in argument mode (about_Parsing, about_Quoting_Rules).

    Typographic quotes are quotes. Within double ones, ``$`` and backquote are read; outside of quotes, so are the signs
    of its language.
    """
    double, single = '"“”„', "'‘’‚‛"
    at = 0
    while at < len(line):
        if line[at] == " ":
            at += 1
        elif line[at] in double:
            end = next((i for i in range(at + 1, len(line)) if line[i] in double), None)
            if end is None or line[end + 1 : end + 2] not in ("", " "):
                raise NotOneCommand("a quote within a word")
            if set(line[at + 1 : end]) & set("$`\n\r"):
                raise NotOneCommand("something to expand")
            yield line[at + 1 : end]
            at = end + 1
        else:
            word = line[at:].partition(" ")[0]
            if set(word) & {*double, *single, *"`$&|;,(){}<>@#\n\r"}:
                raise NotOneCommand(word)
            yield word
            at += len(word)


ENVIRONMENT = {"PATH": '"&calc&"', "X": "calc"}


@pytest.mark.parametrize(
    "line",
    ['python a&calc&.png', "python 'a&calc&.png'", 'python "%PATH%.png"', 'python "a"&calc&"b"', "python a^&b", "a\nb"],
)  # fmt: skip
def test_the_model_of_cmd_sees_what_runs_something_else(line: str) -> None:
    with pytest.raises(NotOneCommand):
        cmd_line(line, ENVIRONMENT, delayed=False)


@pytest.mark.parametrize(
    "line",
    [
        "python 200x320,400x640",
        'python "$(calc).png"',
        'python "a`n"',
        'python "a”;calc;“b"',
        "python a;calc",
        "python 'a'",
    ],
)
def test_the_model_of_powershell_sees_what_runs_something_else(line: str) -> None:
    with pytest.raises(NotOneCommand):
        list(powershell_words(line))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('a "b c" d', ["a", "b c", "d"]),
        ('a "b\\" c" d', ["a", 'b" c', "d"]),
        ('a "b\\\\" c', ["a", "b\\", "c"]),
        ('a b\\c "" d', ["a", "b\\c", "", "d"]),
    ],
)
def test_the_model_of_programs_on_windows(line: str, words: list[str]) -> None:
    assert argv(line) == words


# Commands


@pytest.mark.parametrize("word", WORDS, ids=lambda word: ascii(word)[:40])
def test_every_shell_reads_the_same_words(word: str) -> None:
    words = ["python", "-m", "fcn_core", word, "--scales", "200x320,400x640", word]
    line = join(words)
    expected = [harmless(each) for each in words]
    assert shlex.split(line) == expected
    for delayed in (False, True):
        assert argv(cmd_line(line, ENVIRONMENT, delayed=delayed)) == expected
    assert list(powershell_words(line)) == expected
    assert "!" not in line, "history of bash and zsh"


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh", "ksh"])
def test_installed_shells_read_the_same_words(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip("not here")
    script = 'python() { printf "%s\\n" "$@"; }\n' + join(["python", *WORDS]) + "\n"
    done = subprocess.run([shell, "-c", script], capture_output=True, timeout=PATIENCE, check=True)
    assert done.stdout.decode().split("\n")[:-1] == [harmless(word) for word in WORDS]
    assert done.stderr == b""


def test_harmless_names_are_unchanged() -> None:
    for name in (
        "dog.png",
        "it's a dog; & (more) #1.png",
        "Grüße 犬 🐕.png",
        "a^b,c=d+e@f~g{h}[i].png",
        "‘x’.png",
    ):
        assert harmless(name) == name
    for sign in '"$`\\!%“”„\n\r\t\0\x1b\N{RIGHT-TO-LEFT OVERRIDE}\ud800':
        assert harmless(f"a{sign}b") == "a_b"
    assert join(PLAIN) == " ".join(PLAIN)
    assert join(["it's.png", "", "a,b"]) == '"it\'s.png" "" "a,b"'


@pytest.mark.parametrize(
    ("path", "argument"),
    [("-x.png", "./-x.png"), ("--out", "./--out"), ("a/-x.png", "a/-x.png"), ("/x.png", "/x.png"), ("x.png", "x.png")],
)  # fmt: skip
def test_a_path_is_never_read_as_an_option(path: str, argument: str) -> None:
    assert as_argument(path) == argument


def _named(analysis: Any, name: str) -> Any:
    return replace(analysis, image=replace(analysis.image, name=name))


@pytest.fixture(scope="module")
def analysis(lite0: Any) -> Any:
    import skimage.data

    from fcn_core.images.read import image_from_array
    from fcn_core.images.scales import parse_scales
    from fcn_core.pipeline import analyse

    return analyse(
        image_from_array(skimage.data.chelsea()[::4, ::4], "cat.png"),
        "cat",
        lite0,
        parse_scales("64x96,33x47"),
    )


@pytest.mark.parametrize(
    "name", sorted({clean_name(name) for name in NAMES}), ids=lambda name: ascii(name)[:40]
)
def test_commands_in_every_place_name_the_picture_and_nothing_else(name: str, analysis: Any) -> None:
    named = _named(analysis, name)
    line = files.command_line(named)
    words = shlex.split(line)
    assert words == argv(cmd_line(line, ENVIRONMENT, delayed=True)) == list(powershell_words(line))
    options = entry._parser().parse_args(words[3:])
    assert (options.images, str(options.out)) == ([as_argument(harmless(name))], "out")
    assert options.scales == ",".join(analysis.class_maps)
    assert bool(files.rename_note(named)) == (harmless(name) != name)
    (introduction, *_) = json.loads(files.notebook(named, b"picture"))["cells"]
    assert f"```sh\n{line}\n```" in "".join(introduction["source"])
    assert "".join(introduction["source"]).count("```") == 2


def test_a_note_appears_if_the_command_cannot_use_the_name(analysis: Any) -> None:
    named = _named(analysis, "100% <b>.png")
    told = 'The command names the picture "100_ <b>.png"'
    assert files.rename_note(named).startswith(told)
    assert "Rename the file." in files.rename_note(named)
    report = files.html_report(named).decode()
    assert told in html.unescape(report)
    assert "<b>" not in report
    introduction = "".join(json.loads(files.notebook(named, b"picture"))["cells"][0]["source"])
    assert "The command names the picture `100_ &lt;b&gt;.png`" in introduction
    with zipfile.ZipFile(io.BytesIO(files.zip_all(named, b"picture"))) as archive:
        script = archive.read("100% _b_/command.sh").decode()
    assert f"\n# {told}" in script
    assert files.rename_note(analysis) == ""
    assert "The command names" not in files.html_report(analysis).decode()


# Folders


def refused_by_windows(name: str) -> str:
    """Why Windows makes no folder of this name ("Naming Files, Paths, and Namespaces"); "" where it does."""
    if not name or name in (".", ".."):
        return "no name"
    if set(name) & set('<>:"/\\|?*') or any(ord(c) < 32 for c in name):
        return "a character"
    if name[-1] in " .":
        return "its end"
    base = name.split(".")[0].rstrip(" ").upper()
    if re.fullmatch(r"CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[1-9¹²³]", base):
        return "a device"
    return "its length" if len(name.encode("utf-16-le")) > 2 * 255 else ""


RESERVED = [
    "CON",
    "con",
    "Prn",
    "AUX",
    "nul",
    "CONIN$",
    "conout$",
    *(f"{p}{n}" for p in ("COM", "lpt") for n in "123456789¹²³"),
]


@pytest.mark.parametrize(
    "name", ["", "..", "a:b", "a*", 'a"', "a\x01", "a ", "a.", *RESERVED, "CON.png", "nul .x", "狗" * 256]
)
def test_the_model_of_windows_refuses(name: str) -> None:
    assert refused_by_windows(name)
    if hasattr(ntpath, "isreserved") and len(name) < 200 and name not in ("", ".."):  # since Python 3.13
        assert ntpath.isreserved(name)


@pytest.mark.parametrize("base", RESERVED)
@pytest.mark.parametrize(
    "rest", ["", ".png", ".tar.png", " .png", " .tar.png", "   ", ".", "...", ".x" * 200, " " * 300 + "x.png"]
)
def test_names_of_devices_are_changed(base: str, rest: str) -> None:
    name = clean_name(base + rest)
    assert name.startswith(f"_{base}")
    assert clean_name(name) == name
    assert len(name.encode()) <= 120
    assert refused_by_windows(name) == refused_by_windows(files.file_stem(base + rest)) == ""


@pytest.mark.parametrize(
    "name",
    [
        "console.png",
        "CON1.png",
        "acon.png",
        "com.png",
        "COM10.png",
        "com0",
        "null.png",
        "aux-1.png",
        "nul_.png",
        "co n.png",
        "ＣＯＮ.png",
    ],
)
def test_other_names_stay(name: str) -> None:
    assert clean_name(name) == name
    assert files.file_stem(name) == Path(name).stem


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:40])
def test_every_system_can_make_the_folder(name: str, tmp_path: Path) -> None:
    for made in (clean_name(name), files.file_stem(name)):
        assert refused_by_windows(made) == ""
        assert made == unicodedata.normalize("NFC", made)
        assert made.isprintable()
        assert len(made.encode()) <= 120
    (tmp_path / files.file_stem(name)).mkdir()
    assert [p.name for p in tmp_path.iterdir()] == [files.file_stem(name)]


def test_different_pictures_have_different_folders() -> None:
    paths = [*NAMES, *NAMES, "_CON.png", "_con.jpg", "CON-2.png", "con-2"]
    folders = [folder.name for folder in output_folders(paths, Path("out"))]
    assert len({name.casefold() for name in folders}) == len(paths)
    assert [refused_by_windows(name) for name in folders] == [""] * len(paths)
    assert output_folders(["CON.png", "_con.png", "con.jpg"], Path("o")) == [
        Path("o") / n for n in ("_CON", "_con-2", "_con-3")
    ]


def test_downloaded_files_have_names_for_every_system(analysis: Any) -> None:
    for name in NAMES:
        shown = shells.harmless(clean_name(name))
        assert refused_by_windows(shown) == ""
        for end in (".zip", "-Arithmetic mean.png", "-coco.json"):
            assert refused_by_windows(f"{files.file_stem(name)}-cat{end}") == ""
