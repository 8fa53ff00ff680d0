"""Prometheus as lessons use it: it scrapes an application, answers PromQL, fires an alert, takes other rules."""

from __future__ import annotations

import socket
import tempfile
import time

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from roadmap_progress.errors import ServerFailed, ServerUnavailable
from roadmap_progress.servers import metrics, prometheus

pytestmark = pytest.mark.server

RULES = """
groups:
- name: bookshop
  rules:
  - alert: QueueIsLong
    expr: queue_length > 10
    for: 1s
    labels: {severity: page}
    annotations: {summary: "{{ $value }} orders wait"}
  - record: orders:total
    expr: sum(orders_total)
"""

TESTS = """
evaluation_interval: 1s
tests:
- interval: 1s
  input_series: [{series: queue_length, values: "5 11x10"}]
  alert_rule_test:
  - eval_time: 8s
    alertname: QueueIsLong
    exp_alerts:
    - exp_labels: {severity: page}
      exp_annotations: {summary: "11 orders wait"}
"""


@pytest.fixture(autouse=True)
def there(missing):
    """There is a Prometheus; in CI there has to be."""
    try:
        prometheus.locate()
    except ServerUnavailable as error:
        missing(str(error))


@pytest.fixture
def app():
    """An application with metrics: its URL, and what to move them with."""
    registry = CollectorRegistry()
    orders = Counter("orders", "Orders.", ["status"], registry=registry)
    queue = Gauge("queue_length", "Orders that wait.", registry=registry)
    seconds = Histogram("request_seconds", "How long a request took.", buckets=(0.1, 1), registry=registry)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    yield f"http://127.0.0.1:{server.server_port}/metrics", orders, queue, seconds
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_scrapes_a_real_application_and_answers_promql(app):
    url, orders, _, seconds = app
    orders.labels("paid").inc(3)
    orders.labels("refused").inc()
    for value in (0.05, 0.5, 0.7):
        seconds.observe(value)
    with prometheus(scrape=[url]) as prom:
        assert prom.wait_for("up == 1")[0][0]["job"] == "app"
        assert prom.targets() == {url: "up"}
        prom.wait_for("orders_total")
        assert {labels["status"]: value for labels, value in prom.query("orders_total")} == {
            "paid": 3,
            "refused": 1,
        }
        assert prom.query('sum(orders_total{status="paid"}) / sum(orders_total)') == [({}, 0.75)]
        ((labels, value),) = prom.query('request_seconds_bucket{le="0.1"}')
        assert (labels["le"], value) == ("0.1", 1)
        assert prom.query("1 + 1") == [({}, 2)]


def test_a_mistake_in_promql_is_told_in_its_words():
    with prometheus() as prom, pytest.raises(ValueError, match="parse error"):
        prom.query("sum(")


def test_an_application_that_is_down_is_seen():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/metrics"
    with prometheus(scrape={"gone": url}) as prom:
        assert prom.wait_for("up == 0")[0][0]["job"] == "gone"
        assert "connection refused" in prom.targets()[url]


def test_an_alert_is_pending_then_firing_then_over(app):
    url, _, queue, _ = app
    queue.set(12)
    with prometheus(scrape=[url], rules=RULES.replace("for: 1s", "for: 3s")) as prom:
        assert prom.wait_for_alert("QueueIsLong", state="pending").value == 12
        alert = prom.wait_for_alert("QueueIsLong")
        assert alert.labels["severity"] == "page"
        assert alert.annotations == {"summary": "12 orders wait"}
        queue.set(0)
        prom.wait_for("queue_length == 0")
        prom.wait_for('absent(ALERTS{alertstate="firing"})')


def test_a_reload_takes_other_rules_and_keeps_what_was_collected(app):
    url, orders, _, _ = app
    orders.labels("paid").inc(5)
    with prometheus(scrape=[url]) as prom:
        prom.wait_for("orders_total == 5")
        assert prom.query("orders:total") == []
        before = time.time()
        prom.reload(rules=RULES)
        assert prom.wait_for("orders:total") == [({"__name__": "orders:total"}, 5)]
        assert [value for _, value in prom.query("orders_total", time=before)] == [5]


def test_rules_that_are_refused_leave_those_that_ran(app):
    url, _, queue, _ = app
    queue.set(20)
    with prometheus(scrape=[url], rules=RULES) as prom:
        with pytest.raises(ServerFailed, match=r"(?s)refused.*expr"):
            prom.reload(rules="groups: [{name: bad, rules: [{alert: A, expr: 'sum('}]}]")
        prom.wait_for_alert("QueueIsLong")
        prom.reload()  # the good ones are back in the file


def test_promtool_tests_a_rule_without_waiting():
    with prometheus(rules=RULES) as prom:
        assert prom.test_rules(TESTS).passed
        wrong = prom.test_rules(TESTS.replace("eval_time: 8s", "eval_time: 0s"))
        assert not wrong.passed
        assert "FAILED" in wrong.output
        assert prom.check_rules(RULES).passed
        assert (
            "parse error: unclosed left parenthesis"
            in prom.check_rules(RULES.replace("sum(orders_total)", "sum(")).output
        )


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder of its own for temporary directories, empty again after the test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def test_rules_that_it_refuses_at_the_start_are_told_in_its_words(temporary):
    with pytest.raises(ServerFailed, match=r"(?s)ended at once.*parse error: unclosed left parenthesis"):
        prometheus.start(rules="groups: [{name: bad, rules: [{alert: A, expr: 'sum('}]}]")


def test_a_url_that_cannot_be_scraped_is_told(temporary):
    with pytest.raises(ValueError, match="cannot be scraped"):
        prometheus.start(scrape=["127.0.0.1:8000"])


def test_a_port_that_another_program_was_faster_with_is_given_up_for_the_next(temporary, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as faster:
        taken = faster.getsockname()[1]
        offered = iter([taken])
        real = metrics.start_on_port.__globals__["free_port"]
        monkeypatch.setitem(metrics.start_on_port.__globals__, "free_port", lambda: next(offered, 0) or real())
        with prometheus() as prom:
            assert prom.port != taken
            assert prom.query("1") == [({}, 1)]


def test_a_start_that_hangs_ends_at_its_deadline(tmp_path, temporary, monkeypatch):
    binary = tmp_path / "hangs"
    binary.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && { echo "prometheus, version 2.99.0"; exit; }\n'
        "echo replaying; exec sleep 600\n"
    )
    binary.chmod(0o755)
    monkeypatch.setenv(metrics.VARIABLE, str(binary))
    with pytest.raises(ServerFailed, match=r"not ready within 1 s; the last lines of its log:\nreplaying"):
        prometheus.start(timeout_s=1)


def test_one_that_is_too_old_is_named(tmp_path, monkeypatch):
    binary = tmp_path / "old"
    binary.write_text('#!/bin/sh\necho "prometheus, version 1.8.2"\n')
    binary.chmod(0o755)
    monkeypatch.setenv(metrics.VARIABLE, str(binary))
    with pytest.raises(ServerUnavailable, match=r"(?s)is 1\.8\.2, at least 2\.30.*apt-get install -y prometheus"):
        prometheus.locate()
