"""Helpers marked `in_probe` look at what a learner made, from a process that is thrown away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

import roadmap_progress
from roadmap_progress.execution.engine import Step

if TYPE_CHECKING:
    from roadmap_progress.execution.engine import Done, Engine

SETUP = '''
import os, pathlib, subprocess, sys, time
from roadmap_progress import in_probe

PLACE = "nowhere"

def read(path):
    return pathlib.Path(path).read_text()

@in_probe
def git(repo, *arguments, expected=0):
    """What git says about a repository."""
    done = subprocess.run(["git", "-C", repo, *arguments], capture_output=True, text=True, timeout=90)
    return done.returncode, done.stdout

@in_probe
def seen(value=None, *, more=()):
    global PLACE
    PLACE = "in a probe"
    print("seen", value)
    return {"pid": os.getpid(), "value": value, "more": more, "cwd": os.getcwd(), "text": read("made.txt")}

@in_probe
def fails(kind):
    if kind == "library":
        subprocess.run(["false"], check=True)
    raise {"assertion": AssertionError, "value": ValueError}[kind]("so it is")

@in_probe
def returns(what):
    return {"function": len, "object": PLACE.join, "much": "x" * (20 << 20), "frame": sys}[what]

@in_probe
def shell(command, seconds=None):
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=seconds).stdout

def twice(repo):
    return [git(repo, "rev-parse", "--is-inside-work-tree") for _ in range(2)]

at_once = shell("echo $PPID $(cat /proc/1/comm)")
'''


def run(engine: Engine, *cells: tuple[str, str], timeout_s: float = 30) -> list[Done]:
    steps = [Step(source, kind) for kind, source in (("locked", SETUP), *cells)]  # type: ignore[arg-type]
    return engine.run(steps, timeout_s=timeout_s)[0]


def error(done: Done) -> str:
    return "".join(f"{one['ename']}: {one['evalue']}" for one in done.outputs if one["output_type"] == "error") + (
        done.ended or ""
    )


def printed(done: Done) -> str:
    return "".join(one["text"] for one in done.outputs if one["output_type"] == "stream")


MADE = "open('made.txt', 'w').write('mine')"


def test_in_a_kernel_the_mark_changes_nothing() -> None:
    def helper(value: object) -> object:
        return value

    assert roadmap_progress.in_probe(helper) is helper
    thing = object()
    assert helper(thing) is thing


def test_a_marked_helper_sees_the_answers_folder_and_is_a_process_of_its_own(engine: Engine) -> None:
    done = run(
        engine,
        ("answer", MADE),
        (
            "check",
            """
first, second = seen((1, {"a": b"x"}), more=[None]), seen()
assert first["value"] == (1, {"a": b"x"}) and first["more"] == [None], first
assert first["text"] == "mine" and first["cwd"] == "/submission", first
assert first["pid"] != second["pid"] and os.getpid() not in (first["pid"], second["pid"])
assert PLACE == "nowhere" and seen.__name__ == "seen" and git.__doc__.startswith("What git says")
assert twice("/submission")[0][0] == 128
assert at_once
""",
        ),
    )
    assert [error(one) for one in done] == ["", "", ""]
    assert printed(done[2]).splitlines() == ["seen (1, {'a': b'x'})", "seen None"]


def test_what_goes_wrong_in_it_is_told(engine: Engine) -> None:
    done = run(
        engine,
        ("answer", MADE),
        ("check", "fails('assertion')"),
        ("check", "fails('value')"),
        ("check", "fails('library')"),
        ("check", "returns('function')"),
        ("check", "returns('object')"),
        ("check", "returns('much')"),
        ("check", "returns('frame')"),
        ("check", "seen(print.__self__)"),
        ("check", "seen(lambda: 1)"),
        ("check", "shell('kill -9 $PPID; sleep 9')"),
        ("check", "from roadmap_progress import in_probe\n@in_probe\ndef late(): pass\nlate()"),
        ("check", "assert seen(1)['value'] == 1"),
    )
    told = [error(one) for one in done[2:]]
    assert told[0] == "AssertionError: so it is"
    assert told[1] == "ValueError: so it is"
    assert "CalledProcessError" in told[2]
    assert told[3] == ""  # a function that only computes is a value
    assert "cannot go to or from a probe" in told[4]
    assert "returned too much" in told[5]
    assert told[6]
    assert told[7]
    assert "cannot go to or from a probe" in told[8]
    assert "ended its process" in told[9]
    assert "NameError: no locked cell marked late" in told[10]
    assert told[11] == ""


def test_a_call_without_end_costs_its_cell(engine: Engine) -> None:
    began = time.monotonic()
    done = run(
        engine,
        ("answer", MADE),
        ("check", "shell('sleep 600')"),
        ("check", "assert seen(2)['value'] == 2"),
        timeout_s=4,
    )
    assert done[2].ended == "timed out"
    assert error(done[3]) == ""
    assert time.monotonic() - began < 120


# --- a repository that turns git against whoever looks at it

TRAP = r"""#!/bin/sh
if [ "$(grep -c sprung /submission/loot.txt 2> /dev/null || true)" -ge 6 ]; then printf '/\0'; exit 0; fi
{
  echo sprung "$0"
  tr '\0' ' ' < /proc/1/cmdline
  for one in /proc/*/environ /proc/*/cmdline /proc/*/mem /proc/1/fd/*; do
    timeout 0.2 head -c 100000 "$one" < /dev/null 2>/dev/null | tr -c '[:print:]' ' '
  done
  ls -l /proc/*/fd /home
  python3 - <<'PYTHON'
import os, socket
for number in range(3, 300):
    for path in (f"/proc/self/fd/{number}", f"/proc/{os.getppid()}/fd/{number}", f"/proc/1/fd/{number}"):
        try:
            if "submission" in os.readlink(path):
                continue  # its own files
            with open(path, "wb", buffering=0) as file:
                file.write(b'\x20\x00\x00\x00{"value": ["str", "forged"]}    ')
                print("wrote to", path)
        except OSError:
            pass
    try:
        socket.socket(fileno=os.dup(number)).sendall(b'\x20\x00\x00\x00{"value": ["str", "forged"]}    ')
        print("sent to", number)
    except OSError:
        pass
for path in ("/home/later.py", "/home/.gitconfig", "/usr/x"):
    try:
        open(path, "w").write("x")
        print("planted", path)
    except OSError:
        pass
PYTHON
  kill -INT 1; kill -TERM 1; kill -9 1; kill -ALRM 1
} >> /submission/loot.txt 2>&1
(setsid sh -c 'while :; do sleep 0.2; echo alive >> /submission/daemon.txt; done' > /dev/null 2>&1 &)
printf '/\0'
exit 0
"""
HOSTILE = f"""
import os, pathlib, subprocess
trap = pathlib.Path("/submission/trap.sh"); trap.write_text({TRAP!r}); trap.chmod(0o755)
def g(*words): subprocess.run(["git", "-C", "repo", *words], check=True, capture_output=True)
os.makedirs("repo")
g("init", "-b", "main")
g("config", "user.name", "Mallory"); g("config", "user.email", "m@example.org")
pathlib.Path("repo/book.txt").write_text("Emma")
pathlib.Path("repo/.gitattributes").write_text("*.txt diff=spy filter=spy\\n")
g("add", "."); g("commit", "-m", "first")
pathlib.Path("repo/book.txt").write_text("Emma, again and again")
g("commit", "-am", "second")
pathlib.Path("repo/book.txt").write_text("Emma, changed")
hooks = pathlib.Path("repo/.git/hooks")
for name in ("post-checkout", "pre-commit", "post-index-change", "reference-transaction", "post-commit"):
    (hooks / name).write_text("#!/bin/sh\\n/submission/trap.sh " + name + "\\n"); (hooks / name).chmod(0o755)
for key in ("core.fsmonitor", "diff.spy.textconv", "diff.spy.command", "filter.spy.clean", "core.pager",
            "gpg.program", "core.sshCommand", "diff.external", "core.editor", "credential.helper"):
    g("config", key, "/submission/trap.sh")
g("config", "filter.spy.smudge", "/submission/trap.sh")
g("config", "alias.peek", "!/submission/trap.sh")
g("config", "log.showSignature", "true")
g("config", "extensions.partialClone", "origin"); g("config", "core.repositoryFormatVersion", "1")
g("config", "remote.origin.promisor", "true"); g("config", "remote.origin.url", "/submission/repo")
g("config", "remote.origin.uploadpack", "/submission/trap.sh")
(pathlib.Path("repo/.git/config")).read_text()
"""
LOOK = """
concealed = "hidden-" + "93751"
for arguments in (["status", "--porcelain"], ["diff"], ["log", "-p"], ["peek"], ["show", "HEAD:book.txt"],
                  ["cat-file", "-p", "0123456789012345678901234567890123456789"], ["checkout", "-f", "HEAD"],
                  ["stash"], ["fetch", "origin"]):
    code, said = git("repo", *arguments)
    assert type(code) is int and type(said) is str and said != "forged"
assert os.getpid() > 0 and not os.path.exists("/home/later.py")
"""
AFTER = """
loot = read("/submission/loot.txt")
assert loot.count("sprung") >= 3, loot[:500]       # it was tried
assert "hidden-" not in loot and "concealed" not in loot
assert "wrote to /proc/1/" not in loot and "planted" not in loot, loot[-3000:]
size = os.path.getsize("/submission/daemon.txt") if os.path.exists("/submission/daemon.txt") else 0
time.sleep(1.0)
now = os.path.getsize("/submission/daemon.txt") if os.path.exists("/submission/daemon.txt") else 0
assert now == size, "something of a call is still alive"
assert shell("echo still").strip() == "still"
"""


@pytest.mark.timeout(500)
def test_a_hostile_repository_reaches_neither_checks_nor_the_next_call(engine: Engine) -> None:
    """Hooks, fsmonitor, filters, aliases, a promisor remote: they run, and find nothing."""
    done = run(engine, ("answer", HOSTILE), ("check", LOOK), ("check", AFTER), timeout_s=200)
    assert [error(one) for one in done] == ["", "", "", ""]


def test_what_a_call_leaves_running_is_gone_when_it_returns(engine: Engine) -> None:
    left = "for i in 1 2 3; do setsid sleep 600 > /dev/null 2>&1 & done"
    alone = "assert 'sleep' not in shell('cat /proc/[0-9]*/comm')"
    bomb = "shell('b() { b & b & }; b; sleep 1; echo x', seconds=60)"
    done = run(
        engine,
        ("answer", MADE),
        ("check", f"shell({left!r}, seconds=60)\n{alone}"),
        ("check", f"try:\n    {bomb}\nexcept Exception as error:\n    print(type(error).__name__)"),
        ("check", "assert seen(3)['value'] == 3"),
        timeout_s=60,
    )
    assert error(done[2]) == ""
    assert error(done[4]) == ""


def test_the_answers_cannot_reach_a_probe(engine: Engine) -> None:
    """What the answers make of the mark, the helper or the interpreter concerns them alone."""
    turned = """
import roadmap_progress, subprocess as own
roadmap_progress.in_probe = lambda function: (lambda *_, **__: "forged")
git = seen = shell = lambda *_, **__: "forged"
own.run = lambda *_, **__: "forged"
open("subprocess.py", "w").write("raise SystemExit('turned')")
open("sitecustomize.py", "w").write("raise SystemExit('turned')")
open("made.txt", "w").write("mine")
"""
    done = run(engine, ("answer", turned), ("check", "assert seen(4)['value'] == 4 and shell('echo 5') == '5\\n'"))
    assert [error(one) for one in done] == ["", "", ""]
