"""Names of connectors, and the classes behind them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from connectors import registry
from connectors.base import Connector
from connectors.braze.connector import BrazeConnector
from connectors.errors import UnknownConnectorError


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """Somebody else's package, installed on the path."""
    (tmp_path / "acme_recs.py").write_text(
        "from connectors.braze.connector import BrazeConnector\n"
        "class AcmeConnector(BrazeConnector):\n"
        "    name = 'acme'\n"
    )
    info = tmp_path / "acme_recs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-recs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[recsync.connectors]\nacme = acme_recs:AcmeConnector\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("acme_recs", None)


def test_braze_is_there():
    assert "braze" in registry.names()
    assert registry.connector_class("braze") is BrazeConnector


@pytest.mark.parametrize("name", registry.names())
def test_a_connector_is_called_what_it_is_registered_as(name):
    connector = registry.connector_class(name)
    assert issubclass(connector, Connector)
    assert connector.name == name
    assert connector.limits.max_records > 0
    assert connector.limits.max_bytes > 0


def test_a_connector_is_imported_when_it_is_asked_for():
    code = "import sys, connectors.registry as r; r.names(); sys.exit('connectors.braze' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["brase", "Braze", "braze "])
def test_a_slip_of_the_pen_is_answered_with_the_name_that_was_meant(name):
    with pytest.raises(UnknownConnectorError, match=f"'{name}'; did you mean 'braze'"):
        registry.connector_class(name)


@pytest.mark.parametrize("name", ["", "klaviyo", "connectors.braze.connector:BrazeConnector", "../braze"])
def test_an_unknown_name_is_answered_with_those_there_are(name):
    with pytest.raises(
        UnknownConnectorError, match=r"no connector is called .*(there are: braze|did you mean 'braze')"
    ):
        registry.connector_class(name)


@pytest.mark.usefixtures("acme")
def test_a_connector_of_another_package_is_found():
    assert {"acme", "braze"} <= set(registry.names())
    assert registry.connector_class("acme").name == "acme"
    assert registry.connector_class("braze") is BrazeConnector


@pytest.mark.usefixtures("acme")
def test_a_connector_of_another_package_is_suggested_too():
    with pytest.raises(UnknownConnectorError, match="did you mean 'acme'"):
        registry.connector_class("acmee")
