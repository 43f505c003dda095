import json

import pytest

from connectors.contract.storage import LocalStorage
from glue_jobs.config import _NOT_BUILT, load_config, parse_config
from glue_jobs.errors import ConfigError

HISTORIC = {"batchInferencePath": "s3://b/batch/shop/similar/", "connectors": {"braze": {"attributePrefix": "r_"}}}
CURRENT = {**HISTORIC, "version": 1}


def with_braze(**own):
    return {**CURRENT, "connectors": {"braze": own}}


def mistakes(raw):
    with pytest.raises(ConfigError) as caught:
        parse_config(raw)
    return str(caught.value).splitlines()[1:]


def test_a_file_with_only_the_historic_keys_works():
    config = parse_config(
        {
            "batchInferencePath": "s3://b/batch/shop/similar/",
            "performDeltaCheck": False,
            "saveBatchInferenceErrors": True,
            "connectors": {
                "braze": {"itemMetadataFields": ["name"], "attributePrefix": "r_", "otherAttributes": {"a": "b"}}
            },
        }
    )
    assert (config.perform_delta_check, config.save_batch_inference_errors) == (False, True)
    assert config.connectors["braze"].attribute_names() == ["r_itemId", "r_name", "a"]


def test_a_historic_file_sends_arrays_uncut_and_a_current_one_objects():
    historic, current = parse_config(HISTORIC), parse_config(CURRENT)
    assert historic.connectors["braze"].payload_shape == "arrays"
    assert historic.recommendations.max_items is None
    assert current.connectors["braze"].payload_shape == "objects"
    assert current.recommendations.max_items == 25
    assert "payloadShape is 'arrays'" in historic.warnings[0]
    assert current.warnings == []


def test_a_historic_file_that_names_its_shape_is_not_warned():
    own = {"payloadShape": "ids"}
    assert parse_config({**HISTORIC, "connectors": {"braze": own}}).warnings == []


def test_a_connectors_own_delta_check_overrides_the_roots():
    raw = {**CURRENT, "performDeltaCheck": False, "connectors": {"braze": {"performDeltaCheck": True}}}
    assert parse_config(raw).checks_delta("braze")
    assert not parse_config({**CURRENT, "performDeltaCheck": False}).checks_delta("braze")


def test_guards_have_limits_of_their_own_where_a_file_names_none():
    guards = parse_config(CURRENT).guards
    assert (guards.max_cleared_pct, guards.max_bad_line_pct, guards.min_affected_users) == (15, 1, 20)
    assert parse_config({**CURRENT, "guards": {"maxClearedPct": None}}).guards.max_cleared_pct is None


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"version": 1, "connectors": {"braze": {}}}, "batchInferencePath: missing; it is required"),
        ({**CURRENT, "connectors": {}}, "connectors is {}"),
        ({**CURRENT, "performDeltaChek": True}, "performDeltaChek: unknown key; did you mean 'performDeltaCheck'?"),
        ({**CURRENT, "version": 2}, "version is 2"),
        (
            {**CURRENT, "recommendations": {"maxItem": 3}},
            "recommendations.maxItem: unknown key; did you mean 'maxItems'?",
        ),
        ({**CURRENT, "recommendations": {"maxItems": 0}}, "recommendations.maxItems is 0"),
        (
            {**CURRENT, "recommendations": {"relatedItems": {"merge": "zip"}}},
            'recommendations.relatedItems.merge is "zip"',
        ),
        (
            {**CURRENT, "connectors": {"brase": {}}},
            "connectors.brase: no connector is called 'brase'; did you mean 'braze'?",
        ),
        (with_braze(payloadShap="ids"), "connectors.braze.payloadShap: unknown key; did you mean 'payloadShape'?"),
        (with_braze(payloadShape="xml"), 'connectors.braze.payloadShape is "xml"'),
        ({**CURRENT, "connectors": {"braze": []}}, "connectors.braze is []"),
        ({**CURRENT, "batchInferencePath": "s3://[BUCKET]/x/"}, "batchInferencePath is 's3://[BUCKET]/x/': fill in"),
        (with_braze(otherAttributes={"a": "[YOUR VALUE]"}), "connectors.braze.otherAttributes.a is '[YOUR VALUE]'"),
    ],
)
def test_a_mistake_is_named_with_its_path_value_and_expectation(raw, said):
    assert any(line.startswith(said) for line in mistakes(raw)), mistakes(raw)


def test_every_mistake_is_named_at_once():
    raw = {"version": 3, "batchInferencePth": "x", "connectors": {"braze": {"payloadShape": 1}, "klavio": {}}}
    assert [line.split(":")[0].split(" is ")[0] for line in mistakes(raw)] == [
        "batchInferencePath",
        "batchInferencePth",
        "connectors.braze.payloadShape",
        "connectors.klavio",
        "version",
    ]


@pytest.mark.parametrize(
    ("name", "value", "default"),
    [
        ("minItems", 3, None),
        ("minScore", 0.5, None),
        ("itemFilter", "price > 0", None),
        ("fallback", ["1"], []),
        ("holdout", {"percent": 10, "salt": "x"}, None),
    ],
)
def test_a_rule_this_release_does_not_apply_is_refused_by_name_and_its_default_is_not(name, value, default):
    (line,) = mistakes({**CURRENT, "recommendations": {name: value}})
    assert line.startswith(f"recommendations.{name}: not available in this release")
    assert parse_config({**CURRENT, "recommendations": {name: default}})


@pytest.mark.parametrize("choice", ["reject", "trim"])
def test_what_becomes_of_an_oversized_list_is_a_connectors_own_rule(choice):
    assert parse_config(with_braze(onOversize=choice)).connectors["braze"].on_oversize == choice


def test_a_connectors_rule_this_release_does_not_apply_is_refused_by_name(monkeypatch):
    monkeypatch.setitem(_NOT_BUILT, "connectors", ("onOversize",))
    (line,) = mistakes(with_braze(onOversize="trim"))
    assert line.startswith("connectors.braze.onOversize: not available in this release")
    assert parse_config(with_braze(onOversize="reject"))


@pytest.mark.parametrize("policy", [{"compare": "topK"}, {"compare": "exact", "k": 3}, {"k": 3}])
def test_k_and_top_k_go_together(policy):
    (line,) = mistakes(with_braze(changePolicy=policy))
    assert line.startswith("connectors.braze.changePolicy")
    assert "give both or neither" in line


def test_scores_are_the_first_field_of_every_item():
    raw = {
        **CURRENT,
        "recommendations": {"includeScores": True},
        "connectors": {"braze": {"itemMetadataFields": ["a"]}},
    }
    assert parse_config(raw).connectors["braze"].item_fields() == ["score", "a"]


def test_a_field_called_score_clashes_with_scores():
    raw = {**with_braze(itemMetadataFields=["score"]), "recommendations": {"includeScores": True}}
    (line,) = mistakes(raw)
    assert line.startswith("connectors.braze.itemMetadataFields names 'score', which includeScores takes")


def test_every_key_of_the_format_is_known():
    raw = {
        "$schema": "https://example.com/config.v1.json",
        "version": 1,
        "batchInferencePath": "s3://b/batch/shop/similar/",
        "performDeltaCheck": True,
        "saveBatchInferenceErrors": True,
        "recommendations": {
            "maxItems": 25,
            "minItems": None,
            "minScore": None,
            "includeScores": False,
            "onMissingMetadata": "keep",
            "itemFilter": None,
            "fallback": [],
            "holdout": None,
            "relatedItems": {"merge": "roundRobin", "excludeMappedItems": False},
        },
        "guards": {
            "maxClearedPct": 15,
            "maxCleared": None,
            "minAffectedUsers": 20,
            "maxChangedPct": None,
            "maxBadLinePct": 1,
            "maxFailedLinePct": None,
            "minMetadataCoveragePct": None,
            "maxBelowMinItemsPct": None,
            "maxTopItemSharePct": None,
            "maxInputAgeHours": None,
            "allowEmpty": False,
        },
        "connectors": {
            "braze": {
                "itemMetadataFields": ["name"],
                "attributePrefix": "recs_",
                "otherAttributes": {"campaign": "autumn"},
                "payloadShape": "objects",
                "rankPrefix": False,
                "onOversize": "reject",
                "onUserRemoved": "keep",
                "onAttributeRetired": "keep",
                "updateExistingOnly": False,
                "acknowledge": "onDelivery",
                "changePolicy": {"compare": "exact", "k": None, "refreshAfterDays": None},
            }
        },
    }
    assert parse_config(raw).recommendations.max_items == 25


@pytest.mark.parametrize("content", ["", "{", "[1]", '"x"', "null"])
def test_a_broken_file_is_named(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=r"config\.json"):
        load_config(LocalStorage(tmp_path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=rf"{tmp_path}/config\.json is not there"):
        load_config(LocalStorage(tmp_path))


def test_a_file_is_read_as_it_stands(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CURRENT))
    assert load_config(LocalStorage(tmp_path)).batch_inference_path == "s3://b/batch/shop/similar/"
