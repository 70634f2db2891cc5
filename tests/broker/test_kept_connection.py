"""What `kept_connection` relies on in redis-py, whose pools are not documented to be used so."""

from __future__ import annotations

import inspect

import redis

from sb_api.broker.connection import connect
from sb_api.broker.kept_connection import keep_connection
from sb_api.config import Settings
from tests.support.jobs import Jobs


def test_a_client_asks_its_pool_for_a_connection_before_each_command_and_gives_it_back_after(jobs: Jobs) -> None:
    """So whatever stands for the pool decides which connection it is."""

    class Pool:
        def __init__(self, pool: redis.ConnectionPool) -> None:
            self.pool = pool
            self.calls: list[str] = []

        def get_connection(self, *arguments: object, **options: object) -> object:
            self.calls.append("get")
            return self.pool.get_connection()

        def release(self, connection: redis.Connection) -> None:
            self.calls.append("release")
            self.pool.release(connection)

        def __getattr__(self, name: str) -> object:
            return getattr(self.pool, name)

    pool = Pool(jobs.redis.connection_pool)
    client = redis.Redis.from_pool(pool)  # type: ignore[arg-type]
    client.ping()
    client.pipeline(transaction=False).ping().ping().execute()
    assert pool.calls == ["get", "release"] * 2


def test_connect_of_a_connection_that_stands_does_nothing(jobs: Jobs) -> None:
    """It is called before each command, so that one that was cut is made anew."""
    connection = jobs.redis.connection_pool.get_connection()
    socket = connection._sock
    connection.connect()
    assert connection._sock is socket
    connection.disconnect()
    connection.connect()
    assert connection._sock is not socket
    jobs.redis.connection_pool.release(connection)


def test_a_pool_gives_connections_without_being_told_the_command() -> None:
    for pool in (redis.ConnectionPool, redis.BlockingConnectionPool):
        required = [
            parameter
            for parameter in list(inspect.signature(pool.get_connection).parameters.values())[1:]
            if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL
        ]
        assert not [parameter for parameter in required if parameter.kind is not parameter.VAR_KEYWORD], pool


def test_a_kept_connection_leaves_room_for_others_in_the_pool(settings: Settings) -> None:
    with connect(settings) as client:
        kept = keep_connection(client)
        ids = {kept.client_id(), kept.client_id()}
        assert len(ids) == 1
        assert client.client_id() not in ids
