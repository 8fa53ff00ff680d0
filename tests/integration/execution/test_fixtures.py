"""A submission's servers: one for answers and checks, apart from both, shut in, gone with the submission."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from roadmap_progress import servers
from roadmap_progress.authoring import compile as compiling
from roadmap_progress.authoring import exercises
from roadmap_progress.errors import ServerUnavailable
from roadmap_progress.execution import fixtures
from roadmap_progress.execution.engine import Engine, Step
from roadmap_progress.execution.forked import Job, run_forked
from roadmap_progress.execution.forks import Zygote
from roadmap_progress.execution.names import bound_names, names_of_answers
from roadmap_progress.model import Notebook
from roadmap_progress.notebooks import NotebookNode, cells_by_grade_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from roadmap_progress.execution.engine import Done

pytestmark = pytest.mark.server

ACID = Path(__file__).parents[2] / "data" / "10.1-acid-and-isolation.exercises.md"
SETUP = "import psycopg\nfrom roadmap_progress.servers import postgresql, redis_server\npg = postgresql.start()"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Zygote(["psycopg", "redis", "pymongo"]) as zygote:
        yield Engine(zygote)


def need(*names: str) -> None:
    """Go on where these servers are to be had; without them the test fails in CI, and is skipped elsewhere."""
    for name in names:
        try:
            getattr(servers, name).locate()
        except ServerUnavailable as error:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(str(error))


@pytest.fixture(autouse=True)
def there() -> None:
    """Most tests start these."""
    need("postgresql", "redis_server")


def run(engine: Engine, *cells: tuple[str, str], timeout_s: float = 60) -> list[Done]:
    steps = [Step(source, kind) for kind, source in cells]  # type: ignore[arg-type]
    graded = sorted(name for kind, source in cells if kind == "answer" for name in bound_names(source))
    return engine.run(steps, graded=graded, timeout_s=timeout_s)[0]


def error(done: Done) -> str:
    """What the cell's traceback ends with; "" if there is none."""
    return "".join(f"{one['ename']}: {one['evalue']}" for one in done.outputs if one["output_type"] == "error") + (
        done.ended or ""
    )


def printed(done: Done) -> str:
    return "".join(one["text"] for one in done.outputs if one["output_type"] == "stream")


# --- an exercise with threads, locks and sessions that wait for each other


def _messages(notebook: NotebookNode) -> list[str]:
    """What its cells complain about: errors, and what they write to stderr."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    said = [f"{one.ename}: {one.evalue}" for one in outputs if one.output_type == "error"]
    return said + [one.text for one in outputs if one.output_type == "stream" and one.name == "stderr"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_exercise_on_isolation_is_graded_on_a_real_server() -> None:
    """The solution earns all, and each mistake fails for its own reason, races and waiting sessions included."""
    source = exercises.read(ACID)
    made = compiling.solutions(
        source, Notebook("10.1", "acid-and-isolation", "ACID", "10-databases", "ready"), "content/10.1.md"
    )
    (exercise,) = source.exercises
    (answer,) = exercise.answers
    runs = [made]
    for mistake in exercise.mistakes:
        wrong = NotebookNode(made)
        wrong.cells = [NotebookNode(cell) for cell in made.cells]
        cells_by_grade_id(wrong)[answer.grade_id].source = mistake.cell.text
        runs.append(wrong)
    locked = [cell.source for cell in made.cells if cell.metadata.get("roadmap", {}).get("role") == "setup"]
    graded = names_of_answers([cells_by_grade_id(made)[answer.grade_id].source], locked)
    ready = run_forked([Job(one, graded) for one in runs], modules=["psycopg"], workers=2)
    solved, *failed = (run for _, run in sorted(ready, key=itemgetter(0)))
    assert _messages(solved.notebook) == []
    for mistake, one in zip(exercise.mistakes, failed, strict=True):
        assert any(str(mistake.caught_by) in message for message in _messages(one.notebook)), _messages(
            one.notebook
        )


# --- one server for both


def test_answers_and_checks_use_the_same_server_and_look_at_it_as_different_users(engine: Engine) -> None:
    done = run(
        engine,
        ("locked", SETUP),
        (
            "answer",
            (
                "def address():\n    return pg.url\n"
                "def admin():\n    return pg.admin_url\n"
                "def keep(word):\n    with pg.connect() as c:\n"
                "        c.execute('CREATE TABLE IF NOT EXISTS word (w text)')\n"
                "        c.execute('INSERT INTO word VALUES (%s)', [word])\n"
                "def rename(user):\n    with pg.connect() as c: c.execute(f'ALTER ROLE {user} PASSWORD NULL')"
            ),
        ),
        (
            "check",
            (
                "assert address() == pg.url, (address(), pg.url)\n"
                "keep('hello')\n"
                "with psycopg.connect(pg.admin_url) as c:\n"
                "    assert c.execute('SELECT w FROM public.word').fetchall() == [('hello',)]\n"
                "    assert c.execute('SELECT usesuper FROM pg_user WHERE usename = user').fetchone() == (True,)\n"
                "    sees = c.execute(\"SELECT rolsuper FROM pg_roles WHERE rolname = 'bookshop'\").fetchone()\n"
                "    assert sees == (False,), sees\n"
            ),
        ),
        ("check", "admin()"),
        ("check", "rename('postgres')"),
    )
    assert not error(done[0])
    assert error(done[2]) == ""
    assert "for checks only" in error(done[3])
    assert "InsufficientPrivilege" in error(done[4])


def test_what_a_learner_may_do_in_a_kernel_works_when_graded(engine: Engine) -> None:
    """Databases, extensions, roles, replicas, restarts and crashes, from both sides and several threads."""
    use = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def use():\n"
        "    with pg.database() as url, psycopg.connect(url, autocommit=True) as c:\n"
        "        c.execute('CREATE EXTENSION pg_trgm')\n"
        "        c.execute('CREATE TABLE t AS SELECT 1 AS n')\n"
        "        return c.execute('SELECT n FROM t').fetchone()[0]\n"
    )
    life = (
        "with ThreadPoolExecutor(4) as pool:\n"
        "    assert list(pool.map(lambda _: use(), range(4))) == [1] * 4\n"
        "with pg.connect(autocommit=True) as c:\n"
        "    c.execute('CREATE ROLE clerk LOGIN'); c.execute('CREATE TABLE kept AS SELECT 7 AS n')\n"
        "    c.execute('CREATE PUBLICATION p FOR TABLE kept')\n"
        "with pg.replica() as replica:\n"
        "    replica.wait_until_caught_up()\n"
        "    with replica.connect() as c:\n"
        "        assert c.execute('SELECT n FROM kept').fetchone() == (7,)\n"
        "    assert replica.primary == pg\n"
        "    replica.promote()\n"
        "pg.kill()\n"
        "pg.restart()\n"
        "assert 'ready to accept connections' in pg.log(50)\n"
        "with pg.connect(autocommit=True) as c:\n"
        "    assert c.execute('SELECT n FROM kept').fetchone() == (7,)\n"
        "    c.execute('DROP PUBLICATION p'); c.execute('DROP TABLE kept'); c.execute('DROP ROLE clerk')\n"
    )
    done = run(engine, ("locked", SETUP + "\n" + use), ("answer", life), ("check", life))
    assert [error(one) for one in done] == ["", "", ""]


def test_each_start_of_a_locked_cell_has_its_server_and_answers_and_checks_may_have_their_own(
    engine: Engine,
) -> None:
    done = run(
        engine,
        ("locked", SETUP + "\nkv = redis_server.start()\nsecond = redis_server.start()"),
        ("answer", "urls = [kv.url, second.url]\nown = redis_server.start()\nurls.append(own.url)"),
        (
            "check",
            (
                "mine = redis_server.start()\n"
                "assert urls[:2] == [kv.url, second.url] and len({*urls, mine.url}) == 4, (urls, mine.url)"
            ),
        ),
        ("locked", "late = redis_server.start()"),
        ("answer", "late_url = late.url"),
        ("check", "assert late_url == late.url and late.url not in (*urls, mine.url)"),
    )
    assert [error(one) for one in done] == [""] * 6


def test_redis_is_kept_for_both(engine: Engine) -> None:
    done = run(
        engine,
        ("locked", "from roadmap_progress.servers import redis_server\nkv = redis_server.start()"),
        ("answer", "def remember(key, value):\n    return kv.client().set(key, value)"),
        (
            "check",
            (
                "assert remember('book', 'Emma') is True\n"
                "assert kv.client().get('book') == 'Emma'\n"
                "with kv.replica() as copy:\n    assert copy.client().get('book') == 'Emma'\n"
                "kv.restart()\nassert kv.client().get('book') is None"
            ),
        ),
    )
    assert [error(one) for one in done] == ["", "", ""]


def test_mongodb_is_kept_for_both(engine: Engine) -> None:
    need("mongodb")
    done = run(
        engine,
        ("locked", "import pymongo\nfrom roadmap_progress.servers import mongodb\nmongo = mongodb.start()"),
        (
            "answer",
            (
                "def add(url, title):\n"
                "    with pymongo.MongoClient(url) as client:\n"
                "        client.bookshop.books.insert_one({'title': title})"
            ),
        ),
        (
            "check",
            (
                "add(mongo.url, 'Emma')\n"
                "with mongo.client() as client:\n"
                "    assert client.bookshop.books.count_documents({'title': 'Emma'}) == 1"
            ),
        ),
    )
    assert [error(one) for one in done] == ["", "", ""]


def test_kafka_is_kept_for_both(engine: Engine) -> None:
    need("kafka")
    produce = (
        "def produce(servers):\n"
        "    producer = confluent_kafka.Producer({'bootstrap.servers': servers})\n"
        "    producer.produce('orders', b'one')\n"
        "    return producer.flush(20)"
    )
    done = run(
        engine,
        (
            "locked",
            "import confluent_kafka\nfrom roadmap_progress.servers import kafka\ncluster = kafka.start(brokers=1)",
        ),
        ("answer", produce),
        ("check", "assert produce(cluster.bootstrap_servers) == 0"),
    )
    assert [error(one) for one in done] == ["", "", ""]


def test_a_pooler_and_a_watched_service_are_kept_for_both(engine: Engine) -> None:
    """They are started in front of other servers, return those, and give records."""
    need("pgbouncer", "redis_sentinel")
    setup = (
        "import psycopg\nfrom roadmap_progress.servers import pgbouncer, postgresql, redis_sentinel\n"
        "pg = postgresql.start()\npool = pgbouncer.start(pg, pool_mode='transaction')\nkv = redis_sentinel.start()"
    )
    use = (
        "def one(url):\n    with psycopg.connect(url, prepare_threshold=None) as c:\n"
        "        return c.execute('SELECT 1').fetchone()\n"
        "def keep(value):\n    return kv.client().set('k', value)"
    )
    check = (
        "assert one(pool.url) == (1,) and one(pool.url_for(pg.url)) == (1,)\n"
        "assert [row for row in pool.show('databases') if row['name'] == 'bookshop'] or pool.show('pools')\n"
        "assert keep('v') is True and kv.primary.client().get('k') == 'v'\n"
        "lost = kv.primary\nlost.kill()\nassert kv.wait_for_failover(lost) != lost"
    )
    done = run(engine, ("locked", setup), ("answer", use), ("check", check))
    assert [error(one) for one in done] == ["", "", ""]


BROWSER = """
import resource, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from playwright.sync_api import sync_playwright
from selenium import webdriver
from roadmap_progress.servers import browser
chromium = browser.start()
class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<h1>Bookshop</h1>")
    def log_message(self, *_): pass
def serve():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"
def in_thread(work, *arguments):
    came = []
    one = threading.Thread(target=lambda: came.append(work(*arguments)))
    one.start()
    one.join()
    return came[0]
def _by_playwright(url):
    with sync_playwright() as playwright:
        page = playwright.chromium.connect_over_cdp(chromium.cdp_url).new_context().new_page()
        page.goto(url)
        return page.get_by_role("heading").inner_text()
def by_playwright(url):
    return in_thread(_by_playwright, url)  # a cell runs in an event loop, where this API refuses to
def by_selenium(url):
    driver = webdriver.Remote(chromium.webdriver_url, options=chromium.selenium_options())
    driver.get(url)
    text = driver.find_element("css selector", "h1").text
    driver.quit()
    return text
"""


@pytest.mark.browser
def test_a_browser_is_kept_for_both(engine: Engine) -> None:
    """Both drive it, and it opens the pages of either; only its own process may use more than before."""
    need("browser")
    answer = (
        "def heads(url):\n    return [by_playwright(url), by_selenium(url)]\nmine = heads(serve())\n"
        "def data():\n    return resource.getrlimit(resource.RLIMIT_DATA)[1]"
    )
    check = (
        "assert mine == heads(serve()) == ['Bookshop', 'Bookshop']\n"
        "assert by_playwright(serve()) == by_selenium(serve()) == 'Bookshop'\n"
        "assert data() < 1536 << 20"
    )
    done = run(engine, ("locked", BROWSER), ("answer", answer), ("check", check), timeout_s=90)
    assert [error(one) for one in done] == ["", "", ""]


def test_only_a_locked_cell_that_names_the_browser_gives_the_servers_more_memory() -> None:
    browser = "from roadmap_progress.servers import browser\nchromium = browser.start()"
    assert fixtures.limits_for([browser]).memory_mb == fixtures.BROWSER_MB
    other = "from roadmap_progress.servers import postgresql"
    assert fixtures.limits_for([other, "browser = 1"]) == fixtures.LIMITS


def test_a_cell_behind_a_crash_has_its_server_again(engine: Engine) -> None:
    done = run(
        engine,
        ("locked", SETUP),
        ("answer", "import os; os._exit(1)"),
        ("answer", "def ping():\n    with pg.connect() as c:\n        return c.execute('SELECT 1').fetchone()"),
        ("check", "assert ping() == (1,)\nwith pg.connect() as c: c.execute('SELECT 1')"),
    )
    assert [one.ended for one in done] == [None, "crashed", None, None]
    assert error(done[3]) == ""


# --- what goes wrong


def test_a_server_that_cannot_be_started_is_an_error_of_its_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROADMAP_REDIS", "/nowhere/redis-server")
    with Zygote() as zygote:
        done = run(
            Engine(zygote),
            ("locked", "from roadmap_progress.servers import postgresql, redis_server\nkv = redis_server.start()"),
            ("locked", "pg = postgresql.start(settings={'no_such_setting': '1'}, timeout_s=20)"),
            ("answer", "x = 1"),
            ("check", "assert x == 1"),
        )
    assert error(done[0]).startswith("ServerUnavailable: ")
    assert "ROADMAP_REDIS" in error(done[0])
    assert error(done[1]).startswith("ServerFailed: ")
    assert "no_such_setting" in error(done[1])
    assert [error(one) for one in done[2:]] == ["", ""]


def test_a_start_that_takes_too_long_costs_its_cell(engine: Engine) -> None:
    began = time.monotonic()
    slow = "import time; from roadmap_progress.servers import redis_server as r; kv = r.start(); time.sleep(100)"
    done = run(engine, ("locked", slow), ("answer", "x = 1"), timeout_s=5)
    assert "CellTimeout" in error(done[0])
    assert error(done[1]) == ""
    assert time.monotonic() - began < 60


CALLS = {
    "a class": "os.environ['ROADMAP_SERVERS'] and pg._host.call('start', '__import__', False, [], {})",
    "a private attribute": "pg._host.call('get', pg._number, '_watchdog')",
    "somebody else's server": "pg._host.call('get', 1, 'url')",
    "no number": "pg._host.call('get', True, 'url')",
    "no call": "pg._host.call('eval', '1')",
    "something that is none": "pg._host.call('do', pg._number, 'log', [{1: {2: print}}], {})",
}


@pytest.mark.parametrize("name", CALLS)
def test_the_process_of_the_servers_does_nothing_else(engine: Engine, name: str) -> None:
    done = run(
        engine,
        ("locked", "import os\nfrom roadmap_progress.servers import redis_server\npg = redis_server.start()"),
        ("answer", "x = 1"),
        ("check", "own = redis_server.start()"),  # server number 1, the checks' own
        ("answer", f"print({CALLS[name]})"),
        ("check", "assert pg.client().ping() and own.client().ping()"),
    )
    assert error(done[3])
    assert printed(done[3]) == ""
    assert error(done[4]) == ""


def test_garbage_on_the_way_to_the_servers_harms_nobody_else(engine: Engine) -> None:
    flood = """
import os, socket
way = socket.socket(fileno=os.dup(int(os.environ["ROADMAP_SERVERS"])))
for n in range(200):
    way.send(b"noise")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        socket.send_fds(way, [b"call"], [theirs.fileno()])
        try:
            ours.sendall([b"[" * 100_000, b"{}", b"\\xff\\xfe", b'["start"]', b"null"][n % 5] + b"\\n")
        except OSError:
            pass
with open("/dev/null") as null:
    socket.send_fds(way, [b"call"], [null.fileno()])
"""
    done = run(
        engine,
        ("locked", SETUP),
        ("answer", flood),
        ("check", "with pg.connect() as c: assert c.execute('SELECT 1').fetchone() == (1,)\nassert pg.log(1)"),
    )
    assert [error(one) for one in done] == ["", "", ""]


# --- who is superuser is shut in

SUPERUSER = """
import psycopg, psycopg.sql
from roadmap_progress.servers import postgresql
pg = postgresql.start(superuser=True)
"""
RUN = """
def sh(command):
    with psycopg.connect(pg.url, autocommit=True) as c:
        c.execute("CREATE TEMP TABLE out (line text)")
        c.execute(psycopg.sql.SQL("COPY out FROM PROGRAM {} WITH (DELIMITER E'\\\\x01')").format(command))
        return [line for (line,) in c.execute("SELECT line FROM out").fetchall()]
"""


def test_a_superusers_programs_reach_nothing(tmp_path: Path) -> None:
    """COPY … PROGRAM runs as the servers' user: no file, process or network of the machine is there."""
    secret = tmp_path / "gradebook"
    secret.write_text("987654")
    secret.chmod(0o666)
    tmp_path.chmod(0o777)
    look = f"""
print(sh("cat {secret} 2>&1; ls /root /work 2>&1; echo x > /usr/x; id -u; true"))
print("processes:", *sorted(set(sh("for p in /proc/[0-9]*; do cat $p/comm; done; echo cat; true"))))
print(sh("cut -d: -f1 /proc/net/dev; getent hosts example.org || echo alone"))
print(sh("echo x > /home/prepared/roadmap/x; cat /proc/1/mem /proc/1/environ || echo closed"))
print(sh("for s in 2 9 14 15; do kill -$s 1; done; true"))
"""
    with Zygote(["psycopg"]) as zygote:
        done = run(
            Engine(zygote),
            ("locked", SUPERUSER),
            ("answer", RUN + look),
            ("check", "pg.restart()\nwith pg.connect() as c: assert c.execute('SELECT 1').fetchone() == (1,)"),
        )
    said = printed(done[1])
    assert [error(one) for one in done] == ["", "", ""]
    assert "987654" not in said
    assert "processes: cat postgres python sh\n" in said
    assert "eth" not in said
    assert "alone" in said
    assert "closed" in said
    assert not Path("/usr/x").exists()


def test_who_kills_all_servers_has_harmed_only_those(engine: Engine) -> None:
    kill = "try:\n    sh('kill -9 -1')\nexcept psycopg.Error:\n    pass"
    done = run(
        engine,
        ("locked", SUPERUSER),
        ("answer", RUN + kill),
        ("check", "with postgresql() as own, own.connect() as c: assert c.execute('SELECT 1').fetchone() == (1,)"),
        ("check", "pg.restart()"),
    )
    assert [error(one) for one in done[:3]] == ["", "", ""]
    assert error(done[3]).startswith("ServerFailed: ")


def test_a_fork_bomb_of_a_superuser_ends_with_the_submission(engine: Engine) -> None:
    bomb = "try:\n    sh('b() { b & b & sleep 5; }; b; true')\nexcept psycopg.Error:\n    pass"
    run(engine, ("locked", SUPERUSER), ("answer", RUN + bomb), timeout_s=10)
    assert _of(engine.zygote) == []


# --- nothing is left


def _is_server(process: psutil.Process) -> bool:
    try:
        return (
            process.name() in ("postgres", "redis-server", "valkey-server", "sh") and process.status() != "zombie"
        )
    except psutil.NoSuchProcess:
        return False


def _of(zygote: Zygote) -> list[psutil.Process]:
    assert zygote._process is not None
    return [one for one in psutil.Process(zygote._process.pid).children(recursive=True) if _is_server(one)]


def test_nothing_is_left_of_a_submission(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shown = "import os\nprint(len(os.listdir('/proc')) > 0)\nkv = redis_server.start()"
    run(
        engine,
        ("locked", SETUP),
        ("answer", shown),
        ("check", "own = postgresql.start()"),
        ("answer", "import os; os.kill(os.getpid(), 9)"),
    )
    assert _of(engine.zygote) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("victim", ["grader", "zygote"])
def test_nothing_is_left_when_the_grader_is_killed(tmp_path: Path, victim: str) -> None:
    script = f"""
from roadmap_progress.errors import ServerUnavailable
from roadmap_progress.execution import fixtures
from roadmap_progress.execution.engine import Engine, Step
from roadmap_progress.execution.forks import Zygote
with Zygote() as zygote:
    print(zygote._process.pid, flush=True)
    hang = "import time\\nkv = redis_server.start()\\ntime.sleep(600)"
    Engine(zygote).run([Step({SETUP!r}, "locked"), Step(hang, "answer")], timeout_s=600)
"""
    with (
        subprocess.Popen(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        ) as grader,
        contextlib.ExitStack() as finish,
    ):
        assert grader.stdout is not None
        finish.callback(grader.kill)
        zygote = psutil.Process(int(grader.stdout.readline()))
        family: list[psutil.Process] = []
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline:
            family = [zygote, *zygote.children(recursive=True)]
            names = []
            for one in family:
                with contextlib.suppress(psutil.NoSuchProcess):  # some of them are short-lived
                    names.append(one.name())
            if "postgres" in names and ("redis-server" in names or "valkey-server" in names):
                break
            time.sleep(0.05)
        else:
            pytest.fail(f"no servers: {names}")
        os.kill(grader.pid if victim == "grader" else zygote.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(family, timeout=20)
        assert not alive
    assert [path.name for path in tmp_path.iterdir()] == []
