"""The database server, and what a duty's user may do there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from deploy.local.database import DatabaseKind, DatabaseServer, without_credentials
from deploy.local.process import LocalStackError
from shared.mongo.schema import INDEXES
from shared.vocabulary.duties import Duty
from tests.infrastructure import DutyDatabases

UNAUTHORIZED = 13
AUTHENTICATION_FAILED = 18


@contextmanager
def connected_as(databases: DutyDatabases, duty: Duty, password: str | None = None) -> Iterator[MongoClient[Any]]:
    with MongoClient[Any](
        databases.uri,
        username=str(duty),
        password=password or databases.password(duty),
        authSource=databases.name(duty),
        retryWrites=False,
    ) as client:
        yield client


def test_a_duty_finds_inserts_and_updates_in_its_own_database(database: DutyDatabases) -> None:
    with connected_as(database, Duty.INTAKE) as client:
        requests = client[database.name(Duty.INTAKE)]["requests"]
        requests.insert_one({"_id": "r", "state": "pending"})
        requests.update_one({"_id": "r"}, {"$set": {"state": "approved"}})
        assert requests.find_one({"_id": "r"}) == {"_id": "r", "state": "approved"}


@pytest.mark.parametrize("duty", list(Duty))
def test_no_duty_reads_or_writes_anothers_database(database: DutyDatabases, duty: Duty) -> None:
    with connected_as(database, duty) as client:
        for other in set(Duty) - {duty}:
            documents = client[database.name(other)]["documents"]
            refused(partial(documents.find_one, {"_id": 1}))
            refused(partial(documents.insert_one, {"_id": 1}))
            refused(partial(documents.update_one, {"_id": 1}, {"$set": {"a": 1}}))


def test_a_duty_can_neither_shape_nor_empty_its_own_database(database: DutyDatabases) -> None:
    with connected_as(database, Duty.ISSUER) as client:
        own = client[database.name(Duty.ISSUER)]
        refused(lambda: own["orders"].create_index("state"))
        refused(lambda: own["orders"].drop_index("due_1"))
        refused(lambda: own["orders"].delete_one({"_id": 1}))
        refused(own["orders"].drop)
        refused(lambda: own.command("collMod", "orders", validator={}))
        refused(lambda: own.command("createUser", "accomplice", pwd="x", roles=[]))
        refused(lambda: client.drop_database(own.name))


def refused(attempt: Callable[[], object]) -> None:
    with pytest.raises(OperationFailure) as caught:
        attempt()
    assert caught.value.code == UNAUTHORIZED


def test_a_wrong_password_opens_nothing(database: DutyDatabases) -> None:
    with connected_as(database, Duty.REVOKER, password="wrong") as client:
        with pytest.raises(OperationFailure) as caught:
            client[database.name(Duty.REVOKER)]["documents"].find_one({"_id": 1})
        assert caught.value.code == AUTHENTICATION_FAILED


def test_indexes_are_there_and_provisioning_again_changes_nothing(database: DutyDatabases) -> None:
    database.provision()
    with database.server.admin() as client:
        for duty, indexes in INDEXES.items():
            for index in indexes:
                found = client[database.name(duty)][index.collection].index_information().values()
                assert index.keys in [[tuple(key) for key in entry["key"]] for entry in found]


def test_acknowledged_writes_survive_a_kill_and_the_server_comes_back_where_it_was(
    own_database_server: DatabaseServer, tmp_path: Path
) -> None:
    own_database_server.start()
    databases = DutyDatabases(own_database_server, tmp_path, "kept")
    databases.provision()
    uri = own_database_server.uri
    with connected_as(databases, Duty.INTAKE) as client:
        for number in range(100):
            client["kept-intake"]["requests"].insert_one({"_id": number})
    own_database_server.kill()
    assert not own_database_server.is_running
    own_database_server.start()
    assert own_database_server.uri == uri
    with connected_as(databases, Duty.INTAKE) as client:
        assert len(list(client["kept-intake"]["requests"].find({}))) == 100


def test_a_stopped_server_keeps_its_users_and_lets_nobody_in_without_a_name(
    own_database_server: DatabaseServer, tmp_path: Path
) -> None:
    own_database_server.start()
    databases = DutyDatabases(own_database_server, tmp_path, "kept")
    databases.provision()
    own_database_server.stop()
    own_database_server.start()
    with connected_as(databases, Duty.APPROVAL) as client:
        assert client["kept-approval"]["cases"].find_one({"_id": 1}) is None
    with MongoClient[Any](own_database_server.uri) as client:
        refused(lambda: client["kept-approval"]["cases"].find_one({"_id": 1}))


def test_dropped_databases_go_with_their_users(database: DutyDatabases) -> None:
    database.drop()
    with connected_as(database, Duty.INTAKE) as client, pytest.raises(OperationFailure) as caught:
        client[database.name(Duty.INTAKE)]["requests"].find_one({"_id": 1})
    assert caught.value.code == AUTHENTICATION_FAILED


def test_a_given_server_is_provisioned_but_never_stopped(own_database_server: DatabaseServer, tmp_path: Path) -> None:
    own_database_server.start()
    given = DatabaseServer(tmp_path / "given", uri=own_database_server._admin_uri())
    given.start()
    assert given.kind is DatabaseKind.GIVEN
    databases = DutyDatabases(given, tmp_path, "given")
    databases.provision()
    with connected_as(databases, Duty.INTAKE) as client:
        assert client["given-intake"]["requests"].find_one({"_id": 1}) is None
    given.stop()
    with pytest.raises(LocalStackError, match="not ours to stop"):
        given.kill()
    assert own_database_server.is_running


def test_an_address_loses_its_credentials_and_keeps_the_rest() -> None:
    given = "mongodb://root:p%40ss@one:27017,two:27018/?replicaSet=rs&authSource=admin&tls=true"
    assert without_credentials(given) == "mongodb://one:27017,two:27018/?replicaSet=rs&tls=true"
    assert without_credentials("mongodb://one:27017") == "mongodb://one:27017/"
