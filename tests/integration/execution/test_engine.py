"""The two processes of a graded notebook: what crosses between them, and what a cell that goes wrong costs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from roadmap_progress.errors import ExecutionError
from roadmap_progress.execution.engine import Engine, Step
from roadmap_progress.execution.forks import Zygote
from roadmap_progress.execution.names import bound_names

if TYPE_CHECKING:
    from roadmap_progress.execution.engine import Done

ANSWERS = '''
import contextlib, dataclasses, enum, functools

class ShopError(Exception):
    """Something in the shop went wrong."""
    def __init__(self, sku, count):
        super().__init__(f"{sku}: {count}")
        self.sku = sku

class Book:
    kind = "book"
    def __init__(self, title, price=3):
        self.title, self.price = title, price
    def __eq__(self, other):
        return isinstance(other, Book) and other.title == self.title
    def __hash__(self):
        return hash(self.title)
    def __repr__(self):
        return f"Book({self.title!r})"
    @property
    def shouted(self):
        return self.title.upper()
    def buy(self, count):
        raise ShopError(self.title, count)

class Ebook(Book):
    pass

@dataclasses.dataclass(frozen=True)
class Money:
    cents: int
    currency: str = "EUR"

class Bag:
    def __len__(self):
        return 3
    def __contains__(self, item):
        return True
    def __add__(self, other):
        return 5
    def __eq__(self, other):
        return True

class Status(enum.Enum):
    OPEN = 1
    PAID = 2

def count_to(n):
    yield from range(n)

async def later(value, then=None):
    import asyncio
    await asyncio.sleep(0.001)
    return value + 1 if then is None else await then(value)

@contextlib.contextmanager
def shop():
    print("opens")
    try:
        yield 5
    except KeyError as error:
        print("forgives", error)
    finally:
        print("closes")

def twice(function):
    return function(2) * 2

def add_nine(items):
    items.append(9)
    return items

def field_names(books, /, self=0, operation="", **fields):
    return [self, operation, *fields]

def traced(function):
    @functools.wraps(function)
    def wrapper(*arguments, **named):
        return function(*arguments, **named)
    return wrapper

class Counted:
    def __init__(self, function):
        functools.update_wrapper(self, function)

def get(server):
    return server.answer(path="/")

rows = [1, 2]
'''


def errors(done: Done) -> list[str]:
    """What a step's errors say."""
    return [f"{one['ename']}: {one['evalue']}" for one in done.outputs if one["output_type"] == "error"]


def printed(done: Done) -> str:
    """What a step printed on stdout."""
    return "".join(one["text"] for one in done.outputs if one.get("name") == "stdout")


def check(engine: Engine, source: str, *, operators: bool = False, answers: str = ANSWERS) -> Done:
    """Run one check behind the answers."""
    steps = [Step(answers, "answer"), Step(textwrap.dedent(source), "check", operators=operators)]
    done, _ = engine.run(steps, graded=bound_names(answers), timeout_s=5)
    assert not errors(done[0])
    return done[1]


@pytest.mark.parametrize(
    "source",
    [
        "assert type(Book('A')) is Book and isinstance(Book('A'), Book) and repr(Book('A')) == \"Book('A')\"",
        "assert Book('A') == Book('A') != Book('B') and len({Book('A'), Book('A')}) == 1",
        "book = Book('A'); book.title = 'b'; assert book.shouted == 'B' and vars(book)['title'] == 'b'",
        "assert Book.kind == 'book' and Book.__name__ == 'Book' and not hasattr(Book('A'), 'pages')",
        "assert isinstance(Ebook('A'), Book) and issubclass(Ebook, Book) and not issubclass(Book, Ebook)",
        "import inspect; assert str(inspect.signature(Book)) == '(title, price=3)'",
        "import inspect; assert list(inspect.signature(later).parameters) == ['value', 'then']",
        "import dataclasses; assert [f.name for f in dataclasses.fields(Money)] == ['cents', 'currency']",
        "assert ShopError.__doc__ == 'Something in the shop went wrong.'",
        "assert [one.name for one in Status] == ['OPEN', 'PAID'] and Status.OPEN is Status.OPEN is Status(1)",
        "assert next(it := count_to(3)) == 0 and list(it) == [1, 2] and next(it, None) is None",
        "import types; assert isinstance(count_to(1), types.GeneratorType)",
        "assert await later(1) == 2",
        "import inspect; assert inspect.iscoroutinefunction(later) and not inspect.iscoroutinefunction(twice)",
        "import asyncio; assert await asyncio.gather(later(1), later(2)) == [2, 3]",
        "assert twice(lambda x: x + 1) == 6",
        "items = [1]; assert add_nine(items) is items and items == [1, 9]",
        "assert len(Bag()) == 3",
        "assert rows == [1, 2] and type(rows) is list",
        "import numpy as np; assert (np.array(rows) == np.array([1, 2])).all()",
        """
        async def then(value):
            return value * 10
        assert await later(3, then) == 30
        """,
        """
        import dataclasses
        try:
            Money(1).cents = 2
        except dataclasses.FrozenInstanceError:
            pass
        else:
            raise AssertionError
        """,
        """
        try:
            Book('x').buy(2)
        except ShopError as error:
            assert type(error) is ShopError and str(error) == 'x: 2' and error.sku == 'x'
        else:
            raise AssertionError
        """,
        """
        class Server:
            def answer(self, path):
                return {"path": path}
        assert get(Server()) == {"path": "/"}
        """,
        """
        @traced
        def named(a):
            "text"
            return a
        assert (named.__name__, named.__doc__, named(3)) == ("named", "text", 3)
        """,
        """
        @Counted
        def named(a):
            "text"
        assert (named.__name__, named.__doc__, Counted.__doc__) == ("named", "text", None)
        """,
        """
        def stop():
            raise KeyboardInterrupt("stop")
        try:
            twice(lambda value: stop())
        except KeyboardInterrupt as error:
            assert str(error) == "stop"
        else:
            raise AssertionError
        assert twice(lambda value: value) == 4
        """,
        """
        assert field_names([], self=1, operation="x", function=2, books=3) == [1, "x", "function", "books"]
        assert Book(title="x", price=2).price == 2
        """,
        """
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(twice, [lambda x, i=i: x + i for i in range(8)])) == [4 + 2 * i for i in range(8)]
        """,
    ],
)
def test_objects_of_the_answers_behave_in_checks_as_in_one_process(engine: Engine, source: str) -> None:
    assert not errors(check(engine, source))


def test_a_context_manager_sees_the_exception_and_its_prints_belong_to_the_check(engine: Engine) -> None:
    done = check(engine, "with shop() as five:\n    assert five == 5\n    raise KeyError('k')")
    assert not errors(done)
    assert printed(done) == "opens\nforgives 'k'\ncloses\n"


def test_an_object_of_the_answers_does_not_decide_a_comparison_unless_the_check_says_so(engine: Engine) -> None:
    assert errors(check(engine, "assert Bag() == 5")) == ["AssertionError: "]
    for operation in ("Bag() + 1", "3 in Bag()"):
        (said,) = errors(check(engine, operation))
        assert said.startswith("Refused: ")
        assert "mark the check" in said
    assert not errors(check(engine, "assert Bag() == 5 and Bag() + 1 == 5", operators=True))


@pytest.mark.parametrize(
    "path",
    [
        "__globals__",
        "__code__.co_consts",
        "__closure__",
        "__self__",
        "__class__.__subclasses__",
        "__init__.__globals__",
    ],
)
@pytest.mark.parametrize("lent", ["lambda: secret", "Fake()", "Fake().answer", "Fake", "(secret for _ in '12')"])
def test_what_a_check_lends_does_not_open_the_rest_of_it(engine: Engine, lent: str, path: str) -> None:
    answers = f"""
def look(lent):
    try:
        found = lent
        for name in {path!r}.split("."):
            found = getattr(found, name)
        return "found " + str("zanzibar" in str(found) or "__main__" in str(found))
    except Exception as error:
        return "refused"
"""
    source = f"""
    secret = "zanzibar"
    class Fake:
        def answer(self):
            return secret
    assert look({lent}) in ("refused", "found False")
    """
    assert not errors(check(engine, source, answers=answers))


def test_a_name_that_a_check_deletes_is_gone_for_the_answers_and_comes_back(engine: Engine) -> None:
    answers = "def square(n):\n    return n * n\ndef area(n):\n    return square(n)"
    source = """
    kept = square
    del square
    try:
        area(2)
    except NameError:
        pass
    else:
        raise AssertionError("area does not use square")
    finally:
        square = kept
    assert area(2) == 4
    """
    assert not errors(check(engine, source, answers=answers))


def test_a_class_of_a_locked_cell_is_one_class_on_both_sides(engine: Engine) -> None:
    steps = [
        Step("class Missing(LookupError):\n    pass\ndef helper():\n    return find('a')", "locked"),
        Step("def find(name):\n    raise Missing(name)", "answer"),
        Step("try:\n    helper()\nexcept Missing as error:\n    assert type(error) is Missing"
             "\nelse:\n    raise AssertionError", "check"),
    ]  # fmt: skip
    done, _ = engine.run(steps, graded=["find"])
    assert not errors(done[2])


def test_an_answer_cannot_replace_what_a_locked_cell_made(engine: Engine) -> None:
    steps = [
        Step("def expect(got, wanted):\n    assert got == wanted", "locked"),
        Step("def expect(got, wanted):\n    pass\ndef f():\n    return 1", "answer"),
        Step("expect(f(), 2)", "check"),
    ]
    done, _ = engine.run(steps, graded=["f"])
    assert errors(done[2]) == ["AssertionError: "]


def test_a_locked_cell_cannot_ask_the_answers_and_does_not_wait_for_them(engine: Engine) -> None:
    steps = [
        Step("def f():\n    return 1", "answer"),
        Step("assert f() == 1", "check"),
        Step("made = f()", "locked"),
        Step("assert f() == 1 and made == 1", "check"),
        Step("x = 2", "answer"),
        Step("assert f() == 1 and x == 2", "check"),
    ]
    done, usage = engine.run(steps, graded=["f", "x"], timeout_s=5)
    assert [errors(one) for one in done] == [[]] * 6
    assert usage.seconds < 5


def test_a_question_that_a_check_gives_up_leaves_no_answer_to_the_next_one(engine: Engine) -> None:
    checked = """
        import signal, threading
        def give_up(*_):
            raise TimeoutError("given up")
        signal.signal(signal.SIGUSR1, give_up)
        threading.Timer(0.2, signal.pthread_kill, [threading.main_thread().ident, signal.SIGUSR1]).start()
        try:
            slow()
        except TimeoutError:
            pass
        assert f() == 1 and f() == 1
    """
    steps = [
        Step("import time\ndef slow():\n    time.sleep(0.6)\n    return 'slow'\ndef f():\n    return 1", "answer"),
        Step(textwrap.dedent(checked), "check"),
        Step("x = 2", "answer"),
        Step("assert f() == 1 and x == 2", "check"),
    ]
    done, _ = engine.run(steps, graded=["slow", "f", "x"], timeout_s=5)
    assert [errors(one) for one in done] == [[]] * 4


def test_a_thread_of_the_answers_that_still_waits_does_not_keep_the_turn(engine: Engine) -> None:
    start = """
        import threading, time
        def start(callback):
            threading.Thread(target=callback, daemon=True).start()
            time.sleep(0.3)  # until it waits for what it asked, and reads for all
    """
    steps = [
        Step(textwrap.dedent(start), "answer"),
        Step("import threading\nnever = threading.Event()\nstart(never.wait)", "check"),
        Step("x = 2", "answer"),
        Step("assert x == 2", "check"),
    ]
    done, _ = engine.run(steps, graded=["start", "x"], timeout_s=5)
    assert [errors(one) for one in done] == [[]] * 4


def test_a_marked_helper_of_a_locked_cell_runs_beside_the_answers(engine: Engine) -> None:
    steps = [
        Step(
            "import os\nfrom roadmap_progress import beside_answers\nopened = []\n"
            "@beside_answers\ndef measured(f):\n    f()\n    return list(opened)\n"
            "def unmarked(f):\n    f()\n    return list(opened)\n"
            "def through():\n    return measured(f)",
            "locked",
        ),
        Step("def f():\n    opened.append('here')", "answer"),
        Step("assert through() == ['here']", "check"),  # a check need not name it
        Step("assert measured(f) == ['here', 'here'] and unmarked(f) == []", "check"),
    ]
    done, _ = engine.run(steps, graded=["f"])
    assert not errors(done[2])
    assert not errors(done[3])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("import os; os._exit(3)", "DeadKernelError"),
        ("import ctypes; ctypes.string_at(0)", "DeadKernelError"),
        ("while True: pass", "CellTimeout"),
        (
            "import time\nwhile True:\n    try:\n        time.sleep(100)\n    except BaseException: pass",
            "CellTimeoutError",
        ),
        ("x = bytearray(4 << 30)", "MemoryError"),
    ],
)
def test_a_cell_that_crashes_or_hangs_costs_that_cell(engine: Engine, answer: str, said: str) -> None:
    steps = [
        Step("def f():\n    return 1", "answer"),
        Step("assert f() == 1", "check"),
        Step(answer, "answer"),
        Step("assert f() == 1", "check"),
    ]
    done, _ = engine.run(steps, graded=["f"], timeout_s=1)
    assert [bool(errors(one)) for one in done] == [False, False, True, False]
    assert errors(done[2])[0].startswith(said)


@pytest.mark.parametrize("delay_ms", range(0, 24, 3))
def test_answers_that_end_themselves_between_two_cells_cost_cells_and_not_the_run(
    engine: Engine, delay_ms: int
) -> None:
    """Whenever that happens, also while the checks' process is being put beside them."""
    steps = [
        Step("def f():\n    return 1", "answer"),
        Step(f"import os, threading\nthreading.Timer({delay_ms / 1000}, os._exit, [0]).start()", "answer"),
        Step("assert f() == 1", "check"),
        Step("import time; time.sleep(0.1)", "answer"),
    ]
    done, _ = engine.run(steps, graded=["f"])
    assert not errors(done[0])
    assert {one.ended for one in done} & {"crashed", "not run"}


def test_a_process_that_somebody_else_kills_costs_nothing(engine: Engine) -> None:
    """The kernel, short of memory, ends the largest process: not the fault of who is graded just then."""
    cells = [
        Step("import time", "locked"),
        Step("def slow():\n    time.sleep(0.7)\n    return 1", "answer"),
        Step("assert slow() == 1", "check"),
    ]
    launcher = engine.zygote._process
    assert launcher is not None
    with ThreadPoolExecutor(1) as pool:
        for victim in (0, -1):  # the answers, the checks
            running = pool.submit(engine.run, cells, graded=["slow"])
            family: list[psutil.Process] = []
            while len(family) < 3 and not running.done():
                family = psutil.Process(launcher.pid).children(recursive=True)
                time.sleep(0.02)
            family[1:][victim].kill()
            done, _ = running.result(60)
            assert [(one.ended, one.outputs) for one in done] == [(None, [])] * 3


def test_checks_that_were_on_their_way_go_with_answers_that_ended(engine: Engine) -> None:
    """The checks' process gets ready while the first cells run, whether it comes to a check or not."""
    clone = engine.zygote.clone()
    launcher = engine.zygote._process
    assert launcher is not None
    before = psutil.Process(launcher.pid).children(recursive=True)
    for first in ("import os; os._exit(0)", "import os, time; time.sleep(0.01); os._exit(0)", "1"):
        done, _ = Engine(clone).run([Step(first, "answer")] * 8 + [Step("assert 1", "check")])
        assert done[0].ended == ("crashed" if "exit" in first else None)
        assert psutil.Process(launcher.pid).children(recursive=True) == before
    clone.close()


def test_a_zygote_that_was_killed_is_an_error_in_words(engine: Engine) -> None:
    clone = engine.zygote.clone()
    launcher = engine.zygote._process
    assert launcher is not None
    (zygote,) = psutil.Process(launcher.pid).children()
    (killed,) = zygote.children()
    killed.kill()
    killed.wait(10)
    with pytest.raises(ExecutionError, match="zygote died"):
        Engine(clone).run([Step("1", "answer")])
    with pytest.raises(ExecutionError, match="zygote died"):
        clone.clone()
    clone.close()


def test_a_call_that_never_returns_costs_its_check_and_the_next_one_passes(engine: Engine) -> None:
    hang = (
        "import time\ndef hang():\n    while True:\n        try: time.sleep(9)\n        except BaseException: pass"
    )
    steps = [
        Step(hang, "answer"),
        Step("hang()", "check"),
        Step("x = 1", "answer"),
        Step("assert x == 1", "check"),
    ]
    done, usage = engine.run(steps, graded=["hang", "x"], timeout_s=1)
    assert [one.ended for one in done] == [None, "timed out", None, None]
    assert not errors(done[3])
    assert usage.restarts == 1


def test_cells_print_show_and_await_as_in_a_kernel(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("1,2\n", encoding="utf-8")
    steps = [
        Step("print('a'); 1 + 1", "answer"),
        Step("!echo from a process", "answer"),
        Step("import asyncio\nawait asyncio.sleep(0, 'done')", "answer"),
        Step("open('prices.csv').read()", "answer"),
        Step("from IPython.display import display, HTML\ndisplay(HTML('<b>x</b>'))", "answer"),
        Step("import sys; print('oh', file=sys.stderr)", "answer"),
    ]
    done, _ = engine.run(steps, files=str(tmp_path))
    assert done[0].outputs[0] == {"output_type": "stream", "name": "stdout", "text": "a\n"}
    assert done[0].outputs[1]["data"]["text/plain"] == "2"
    assert done[0].outputs[1]["execution_count"] == done[0].count == 1
    assert printed(done[1]).split() == ["from", "a", "process"]
    assert done[2].outputs[0]["data"]["text/plain"] == "'done'"
    assert done[3].outputs[0]["data"]["text/plain"] == "'1,2\\n'"
    assert done[4].outputs[0]["data"]["text/html"] == "<b>x</b>"
    assert done[5].outputs[0]["name"] == "stderr"


def test_a_check_imports_the_released_module_and_not_what_the_answers_made_of_it(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "pricing.py").write_text("VAT = 7\n", encoding="utf-8")
    steps = [
        Step(
            "open('pricing.py', 'w').write('VAT = 0'); open('colorsys.py', 'w').write('hls_to_rgb = 1')", "answer"
        ),
        Step("import pricing, colorsys\nassert pricing.VAT == 7 and callable(colorsys.hls_to_rgb)", "check"),
    ]
    done, _ = engine.run(steps, files=str(tmp_path))
    assert not errors(done[1])


def test_a_module_that_starts_threads_is_left_out_of_the_zygote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "busybody.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Zygote(["busybody", "json", "no_such_module_at_all"]) as zygote:
        assert zygote.skipped["busybody"] == "starts threads when it is imported"
        assert zygote.skipped["no_such_module_at_all"].startswith("ModuleNotFoundError")
        done, _ = Engine(zygote).run([Step("1", "answer")])
        assert not errors(done[0])


def test_a_notebook_finds_imported_what_a_library_imports_at_its_first_use() -> None:
    with Zygote(["httpx"]) as zygote:
        done, _ = Engine(zygote).run([Step("import sys\nassert 'httpcore' in sys.modules", "answer")])
    assert not errors(done[0])


def test_nothing_is_left_when_the_process_that_grades_is_killed(tmp_path: Path) -> None:
    script = """
import sys
from roadmap_progress.errors import ExecutionError
from roadmap_progress.execution.engine import Engine, Step
from roadmap_progress.execution.forks import Zygote
from roadmap_progress.execution.names import bound_names
with Zygote() as zygote:
    print(zygote._process.pid, flush=True)
    hang = "import subprocess, time\\nsubprocess.Popen(['sleep', '600'])\\nprint(1)\\ntime.sleep(600)"
    Engine(zygote).run([Step(hang, "answer")], timeout_s=600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as grader:
        assert grader.stdout is not None
        zygote = psutil.Process(int(grader.stdout.readline()))
        deadline = time.monotonic() + 20
        family: list[psutil.Process] = []
        while time.monotonic() < deadline and not any(one.name() == "sleep" for one in family):
            family = [zygote, *zygote.children(recursive=True)]
        assert any(one.name() == "sleep" for one in family)
        os.kill(grader.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive
