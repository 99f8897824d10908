"""The search behind tests/e2e/test_no_secret_anywhere.py: it must find a secret in every container that a home has."""

from __future__ import annotations

import base64
import gzip
import sqlite3
import zipfile
import zlib

import polars as pl
import pytest

from resources.tracking import parted, without_login
from tests.canary import found_in

SECRET = "canary-5ce7/9f3b+7c21"


def in_plain(path):
    path.write_text(f"key={SECRET}")


def in_base64(path):
    path.write_bytes(b"Authorization: Basic " + base64.b64encode(f"ann:{SECRET}".encode()))


def in_a_file_name(path):
    path.with_name(SECRET.replace("/", "%2F").replace("+", "%2B")).write_text("")


def in_a_database(path):
    with sqlite3.connect(path) as base:
        base.execute("create table events (body text)")
        base.execute("insert into events values (?)", (f'{{"key": "{SECRET}"}}',))
    base.close()


def in_a_packed_cell(path):
    with sqlite3.connect(path) as base:
        base.execute("create table snapshots (body blob)")
        base.execute("insert into snapshots values (?)", (zlib.compress(SECRET.encode() * 3),))
    base.close()


def in_parquet(path):
    pl.DataFrame({"text": ["nothing", f"x {SECRET}"]}).write_parquet(path.with_suffix(".parquet"), compression="zstd")


def in_gzip(path):
    path.write_bytes(gzip.compress(SECRET.encode()))


def in_a_zip(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.txt", SECRET * 2)


@pytest.mark.parametrize(
    "hide", [in_plain, in_base64, in_a_file_name, in_a_database, in_a_packed_cell, in_parquet, in_gzip, in_a_zip]
)
def test_a_secret_is_found_wherever_it_is_hidden(hide, tmp_path):
    (tmp_path / "a").mkdir()
    assert found_in(tmp_path, SECRET) == []
    hide(tmp_path / "a" / "file")
    assert found_in(tmp_path, SECRET)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://ann:s3cret@tracker.example/mlflow", "https://tracker.example/mlflow"),
        ("https://ann:s3@cret@tracker.example", "https://tracker.example"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_a_tracking_servers_password_is_in_no_link(uri, shown):
    assert without_login(uri) == shown


def test_a_tracking_servers_login_goes_to_mlflow_beside_the_address_which_its_errors_quote() -> None:
    """A server that did not answer once put the password into the run's log."""
    named = {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "p@ss"}
    assert parted("https://me:p%40ss@host:8080/ml") == ("https://host:8080/ml", named)
    for whole in ("http://127.0.0.1:5000", "sqlite:////home/mlflow.db", "postgresql://me:pass@host/db"):
        assert parted(whole) == (whole, {})
