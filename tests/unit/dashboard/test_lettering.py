"""Text in drawings: lines that fit, and nothing lost but what does not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roadmap_progress.dashboard.lettering import measure, plain, short, wrapped

WORD = st.text("abcdefghimstwMW‑&/", min_size=1, max_size=14)


@given(st.lists(WORD, min_size=1, max_size=12), st.floats(40, 200))
def test_lines_fit_unless_a_word_alone_is_too_long(words: list[str], width: float) -> None:
    lines = wrapped(" ".join(words), 12.5, width, lines=100)
    assert " ".join(lines).split() == words
    assert all(measure(line, 12.5) <= width or " " not in line for line in lines)


@given(st.lists(WORD, min_size=1, max_size=12))
def test_what_is_too_much_ends_in_an_ellipsis(words: list[str]) -> None:
    lines = wrapped(" ".join(words), 12.5, 60, lines=3)
    assert len(lines) <= 3
    whole = wrapped(" ".join(words), 12.5, 60, lines=100)
    assert lines == whole if len(whole) <= 3 else lines[-1] == whole[2] + "…"


def test_brackets_and_marks_are_left_out() -> None:
    assert short("Message Brokers (RabbitMQ, Kafka)") == "Message Brokers"
    assert short("(all of it)") == "(all of it)"
    assert plain("`venv` and more") == "venv and more"
