"""A real Prometheus: scrapes what it is told to, answers PromQL, fires alerts.

::

    prom = prometheus.start(scrape=["http://127.0.0.1:8000/metrics"], rules=RULES)
    prom.wait_for("up == 1")                         # the first scrape has come in
    prom.query("sum(rate(http_requests_total[10s]))")    # [({}, 1.5)]: labels and value of each series
    prom.alerts()                                    # what is pending or firing
    prom.reload(rules=BETTER_RULES)
    prom.test_rules(TESTS)                           # `promtool test rules`: an alert's test, without waiting

`rules` and `TESTS` are text in Prometheus's own YAML. `prom.url` has its HTTP API and its pages.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from roadmap_progress.errors import ServerFailed
from roadmap_progress.processes import StopLimits, run, tail, wait_until
from roadmap_progress.servers._found import Found, Install, find_program
from roadmap_progress.servers._kind import Server, ServerKind, starting
from roadmap_progress.servers._ports import HOST, start_on_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    Targets = Mapping[str, str | Sequence[str]] | Sequence[str]

INSTALL = Install(apt="prometheus", conda="prometheus", brew="prometheus")
VARIABLE = "ROADMAP_PROMETHEUS"  # the path of a `prometheus`
OLDEST = (2, 30)
NAME = "prometheus"
JOB = "app"
TIMEOUT_S = 30.0
LIMITS = StopLimits(ask_s=3.0, terminate_s=1.0, kill_s=2.0)
RULES = "rules.yml"

Sample = tuple[dict[str, str], float]


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that a rule has raised.

    Attributes:
        name: of the rule.
        state: "pending" while its `for` has not passed, then "firing".
        labels: of the alert, with `alertname`.
        annotations: as the rule words them.
        value: of the expression.
    """

    name: str
    state: str
    labels: dict[str, str]
    annotations: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class RuleTests:
    """What `promtool` said of tests or rules: whether all is well, and its words."""

    passed: bool
    output: str


class Prometheus(Server):
    """A Prometheus that was started here.

    Attributes:
        port: where it listens.
    """

    def __init__(
        self, *, scrape: Targets, rules: str, interval_s: float, settings: Mapping[str, Any], timeout_s: float
    ) -> None:
        found = locate()
        self.port = 0
        self._timeout_s = timeout_s
        self._scrape, self._rules = scrape, rules
        self._interval = f"{round(interval_s * 1000)}ms"
        self._settings = settings
        with starting(NAME) as watchdog:
            super().__init__(watchdog, found, "")
            self._write()
            start_on_port(watchdog, NAME, self._begin)

    @property
    def url(self) -> str:
        """Of its pages and its HTTP API."""
        return f"http://{HOST}:{self.port}"

    def query(self, promql: str, *, time: float | None = None) -> list[Sample]:
        """What an expression is now, or was at a time: the labels and the value of each series.

        Raises:
            ValueError: the expression is no PromQL; in Prometheus's words.
        """
        found = self._get("/api/v1/query", query=promql, **({} if time is None else {"time": str(time)}))
        if found["resultType"] == "scalar":
            return [({}, float(found["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in found["result"]]

    def wait_for(self, promql: str, *, timeout_s: float = TIMEOUT_S) -> list[Sample]:
        """Ask until the expression has a result, as `up == 1` has once a target was scraped; returns the result.

        Raises:
            ServerFailed: it had none in time.
        """
        found: list[Sample] = []

        def has_result() -> bool:
            found[:] = self.query(promql)
            return bool(found)

        if not wait_until(has_result, timeout_s=timeout_s):
            raise ServerFailed(
                f"{promql} had no result within {timeout_s:g} s; targets: {self.targets()}; "
                f"the last lines of the log:\n{self.log()}"
            )
        return found

    def targets(self) -> dict[str, str]:
        """What it scrapes: URL → "up", "unknown" before the first scrape, or why the last one failed."""
        found = self._get("/api/v1/targets", state="active")["activeTargets"]
        return {one["scrapeUrl"]: one["lastError"] or one["health"] for one in found}

    def alerts(self) -> list[Alert]:
        """The alerts that are pending or firing."""
        return [
            Alert(
                one["labels"]["alertname"],
                one["state"],
                one["labels"],
                one["annotations"],
                float(one["value"]),
            )
            for one in self._get("/api/v1/alerts")["alerts"]
        ]

    def wait_for_alert(self, name: str, *, state: str = "firing", timeout_s: float = TIMEOUT_S) -> Alert:
        """The alert of this name, once it is in this state.

        Raises:
            ServerFailed: it was not in time.
        """
        found: list[Alert] = []

        def is_there() -> bool:
            found[:] = [alert for alert in self.alerts() if (alert.name, alert.state) == (name, state)]
            return bool(found)

        if not wait_until(is_there, timeout_s=timeout_s):
            raise ServerFailed(f"no alert {name} was {state} within {timeout_s:g} s; there are {self.alerts()}")
        return found[0]

    def reload(self, *, scrape: Targets | None = None, rules: str | None = None) -> None:
        """Take other targets or rules without a restart; what it has collected stays.

        Raises:
            ServerFailed: it refused them, and goes on with those that it had; in its own words.
        """
        before = self._scrape, self._rules
        self._scrape = before[0] if scrape is None else scrape
        self._rules = before[1] if rules is None else rules
        self._write()
        status, body = self._request("POST", "/-/reload")
        if status != http.client.OK:
            self._scrape, self._rules = before
            told = f"{NAME} refused it: {body.strip()}\n{self._complaints()}"
            self._write()
            raise ServerFailed(told)

    def check_rules(self, rules: str) -> RuleTests:
        """What `promtool check rules` says of rules that nothing runs yet."""
        file = self._watchdog.directory / "checked.yml"
        file.write_text(rules, encoding="utf-8")
        return self._promtool("check", "rules", file)

    def test_rules(self, tests: str) -> RuleTests:
        """Run `promtool test rules` on the rules that it has now.

        Args:
            tests: promtool's YAML; `rule_files` may be left out.
        """
        if not re.search(r"^rule_files:", tests, re.MULTILINE):
            tests = f"rule_files: [{RULES}]\n{tests}"
        file = self._watchdog.directory / "tests.yml"
        file.write_text(tests, encoding="utf-8")
        return self._promtool("test", "rules", file)

    def log(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return tail(self._watchdog.processes[NAME].log, lines)

    def _begin(self, port: int) -> None:
        self.port = port
        self._address = self.url
        folder = self._watchdog.directory
        assert self.found.path is not None  # noqa: S101 (a program has a path)
        self._watchdog.start(
            NAME,
            [
                self.found.path,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={HOST}:{port}",
                "--web.enable-lifecycle",
            ],
            limits=LIMITS,
        )
        self._watchdog.wait_ready(NAME, self._is_ours, timeout_s=self._timeout_s, log=self._complaints)

    def _complaints(self) -> str:
        """What its log has of errors; after one it says a lot about its orderly end."""
        return "\n".join(line for line in self.log(200).splitlines() if "level=info" not in line)

    def _is_ours(self) -> bool:
        """Whether what answers on the port keeps its data where ours does."""
        try:
            if self._request("GET", "/-/ready")[0] != http.client.OK:
                return False
            flags = self._get("/api/v1/status/flags")
        except (http.client.HTTPException, ValueError):
            return False
        return bool(flags.get("storage.tsdb.path") == str(self._watchdog.directory / "data"))

    def _write(self) -> None:
        jobs = self._scrape.items() if hasattr(self._scrape, "items") else [(JOB, self._scrape)]
        configs = []
        for job, urls in jobs:
            targets = [_target(url) for url in ([urls] if isinstance(urls, str) else urls)]
            configs.append({"job_name": job, "static_configs": targets})
        settings = {
            "global": {
                "scrape_interval": self._interval,
                "scrape_timeout": self._interval,
                "evaluation_interval": self._interval,
            },
            "rule_files": [RULES],
            "scrape_configs": configs,
            **self._settings,
        }
        folder = self._watchdog.directory
        (folder / RULES).write_text(self._rules, encoding="utf-8")
        (folder / "prometheus.yml").write_text(json.dumps(settings, indent=1), encoding="utf-8")  # JSON is YAML

    def _promtool(self, *arguments: str | Path) -> RuleTests:
        assert self.found.path is not None  # noqa: S101 (a program has a path)
        beside = self.found.path.with_name("promtool")
        program = str(beside) if beside.is_file() else shutil.which("promtool")
        if program is None:
            raise INSTALL.unavailable("promtool", [f"there is none beside {self.found.path}, and none on PATH"])
        told = run([program, *arguments], cwd=self._watchdog.directory, timeout_s=60.0)
        return RuleTests(told.ok, (told.stdout + told.stderr).strip())

    def _get(self, path: str, **parameters: str) -> Any:
        status, body = self._request("GET", f"{path}?{urlencode(parameters)}")
        told = json.loads(body) if body.startswith("{") else {"error": body}
        if told.get("status") != "success":
            raise ValueError(f"{NAME} answered {status}: {told.get('error')}")
        return told["data"]

    def _request(self, method: str, target: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=20)
        try:
            connection.request(method, target)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


def _target(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"{url!r} cannot be scraped: write http://host:port/metrics")
    return {
        "targets": [parts.netloc],
        "labels": {"__scheme__": parts.scheme, "__metrics_path__": parts.path or "/metrics"},
    }


def locate() -> Found:
    """The Prometheus that would be taken.

    Raises:
        ServerUnavailable: there is none, or none that is recent enough.
    """
    return find_program(
        NAME,
        variable=VARIABLE,
        version_of=_version,
        at_least=OLDEST,
        wheel=lambda: None,
        install=INSTALL,
    )


def _version(binary: Path) -> str | None:
    try:
        told = run([binary, "--version"], timeout_s=30.0)
    except OSError:
        return None
    match = re.search(r"prometheus, version (\d+(?:\.\d+)+)", told.stdout + told.stderr)
    return match[1] if match and told.ok else None


def _open(
    *,
    scrape: Targets = (),
    rules: str = "",
    interval_s: float = 1.0,
    settings: Mapping[str, Any] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Prometheus:
    """Start a Prometheus without any data.

    Args:
        scrape: URLs of what to scrape, such as "http://127.0.0.1:8000/metrics", in a job called "app"; or the
            name of each job → its URLs.
        rules: alerting and recording rules, the text of a rule file.
        interval_s: between scrapes, and between evaluations of the rules.
        settings: further sections of prometheus.yml, or other ones in place of those made here.
        timeout_s: it answers by then.

    Raises:
        ServerUnavailable: there is no Prometheus.
        ServerFailed: it refused its settings or rules, or did not come up in time.
    """
    return Prometheus(
        scrape=scrape, rules=rules, interval_s=interval_s, settings=settings or {}, timeout_s=timeout_s
    )


prometheus = ServerKind(
    "prometheus",
    _open,
    locate,
    INSTALL,
    "Prometheus: metrics, PromQL and alerts",
)
