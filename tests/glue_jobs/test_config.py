import json

import pytest

from connectors.contract.local_storage import LocalStorage
from glue_jobs.config import load_config, parse_config
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
        (with_braze(attributePrefix="[PREFIX]_"), "connectors.braze.attributePrefix is '[PREFIX]_': fill in"),
    ],
)
def test_a_mistake_is_named_with_its_path_value_and_expectation(raw, said):
    assert any(line.startswith(said) for line in mistakes(raw)), mistakes(raw)


def test_a_constant_like_a_placeholder_is_sent_and_warned_of():
    constants = {"label": "[SALE]", "more": [{"text": "now [NEW]"}], "plain": "[sale]"}
    config = parse_config(with_braze(otherAttributes=constants))
    assert config.connectors["braze"].other_attributes == constants
    at, said = "connectors.braze.otherAttributes", "which looks like a placeholder; it is sent as it stands"
    assert config.warnings == [f"{at}.label is '[SALE]', {said}", f"{at}.more.0.text is 'now [NEW]', {said}"]


def test_a_filter_may_ask_for_capitals_in_square_brackets():
    text = "name NOT LIKE '[OLD]%'"
    config = parse_config({**CURRENT, "recommendations": {"itemFilter": text}})
    assert (config.recommendations.item_filter, config.warnings) == (text, [])


def test_every_mistake_is_named_at_once():
    raw = {"version": 3, "batchInferencePth": "x", "connectors": {"braze": {"payloadShape": 1}, "klavio": {}}}
    assert [line.split(":")[0].split(" is ")[0] for line in mistakes(raw)] == [
        "batchInferencePath",
        "batchInferencePth",
        "connectors.braze.payloadShape",
        "connectors.klavio",
        "version",
    ]


RULES = "recommendations"


def with_rules(**rules):
    return {**CURRENT, RULES: rules}


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"minItem": 3}, f"{RULES}.minItem: unknown key; did you mean 'minItems'?"),
        ({"minItems": 0}, f"{RULES}.minItems is 0"),
        ({"minScore": "high"}, f'{RULES}.minScore is "high"'),
        ({"minScore": float("nan")}, f"{RULES}.minScore is NaN"),
        ({"blockItem": ["1"]}, f"{RULES}.blockItem: unknown key; did you mean 'blockItems'?"),
        ({"blockItems": "1"}, f'{RULES}.blockItems is "1"'),
        ({"blockItems": [1]}, f"{RULES}.blockItems.0 is 1"),
        ({"excludeItem": "x"}, f"{RULES}.excludeItem: unknown key; did you mean 'excludeItems'?"),
        ({"excludeItems": ""}, f'{RULES}.excludeItems is ""'),
        ({"excludeItems": "s3://[BUCKET]/bought/"}, f"{RULES}.excludeItems is 's3://[BUCKET]/bought/': fill in"),
        ({"itemFilters": "a > 1"}, f"{RULES}.itemFilters: unknown key; did you mean 'itemFilter'?"),
        ({"itemFilter": 5}, f"{RULES}.itemFilter is 5"),
        ({"itemFilter": ""}, f'{RULES}.itemFilter is "": Value error, at its end: a field'),
        ({"itemFilter": "price >> 5"}, f"{RULES}.itemFilter is \"price >> 5\": Value error, '>' at character 8"),
        (
            {"itemFilter": "lower(name) = 'x'"},
            f"{RULES}.itemFilter is \"lower(name) = 'x'\": Value error, 'lower(' at character 1: a filter has no",
        ),
        ({"fallback": ["1"]}, f"{RULES}.fallback fills lists up to minItems, which is not set"),
        ({"minItems": 5, "maxItems": 4}, f"{RULES}.minItems is 5, above maxItems, which is 4"),
        ({"minItems": 26}, f"{RULES}.minItems is 26, above maxItems, which is 25"),
        (
            {"minItems": 1, "fallback": ["1", "2", "3"], "blockItems": ["3", "1"]},
            f"{RULES}.fallback names '1', '3', which blockItems takes out",
        ),
        ({"holdout": {"percent": 10}}, f"{RULES}.holdout.salt: missing; it is required"),
        ({"holdout": {"salt": "x"}}, f"{RULES}.holdout.percent: missing; it is required"),
        ({"holdout": {"percent": 101, "salt": "x"}}, f"{RULES}.holdout.percent is 101"),
        ({"holdout": {"percent": -0.5, "salt": "x"}}, f"{RULES}.holdout.percent is -0.5"),
        ({"holdout": {"percent": 10, "salt": ""}}, f'{RULES}.holdout.salt is ""'),
        ({"holdout": {"percent": 10, "salt": " "}}, f'{RULES}.holdout.salt is " "'),
        ({"holdout": {"percnt": 10, "salt": "x"}}, f"{RULES}.holdout.percnt: unknown key; did you mean 'percent'?"),
        ({"holdout": 10}, f"{RULES}.holdout is 10"),
        ({"relatedItems": {"merg": "score"}}, f"{RULES}.relatedItems.merg: unknown key; did you mean 'merge'?"),
    ],
)
def test_f32_a_mistake_in_a_rule_is_named_with_its_path_value_and_expectation(rules, said):
    assert any(line.startswith(said) for line in mistakes(with_rules(**rules))), mistakes(with_rules(**rules))


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"version": True}, "version is true: Input should be a number"),
        ({"performDeltaCheck": "false"}, 'performDeltaCheck is "false": Input should be true or false'),
        ({"saveBatchInferenceErrors": 1}, "saveBatchInferenceErrors is 1: Input should be true or false"),
        ({RULES: {"maxItems": True}}, f"{RULES}.maxItems is true: Input should be a number"),
        ({RULES: {"maxItems": "25"}}, f'{RULES}.maxItems is "25": Input should be a number'),
        ({RULES: {"minItems": False}}, f"{RULES}.minItems is false"),
        ({RULES: {"minScore": True}}, f"{RULES}.minScore is true: Input should be a number"),
        ({RULES: {"minScore": "0.5"}}, f'{RULES}.minScore is "0.5": Input should be a number'),
        ({RULES: {"holdout": {"percent": "5", "salt": "x"}}}, f'{RULES}.holdout.percent is "5": Input should be a'),
        ({"guards": {"maxClearedPct": False}}, "guards.maxClearedPct is false: Input should be a number"),
        ({"guards": {"allowEmpty": "yes"}}, 'guards.allowEmpty is "yes": Input should be true or false'),
        (with_braze(rankPrefix=1), "connectors.braze.rankPrefix is 1: Input should be true or false"),
        (
            with_braze(changePolicy={"refreshAfterDays": True}),
            "connectors.braze.changePolicy.refreshAfterDays is true: Input should be a number",
        ),
    ],
)
def test_a_value_of_another_type_is_a_mistake_and_not_read_as_what_it_could_mean(raw, said):
    (line,) = mistakes({**CURRENT, **raw})
    assert line.startswith(said)


def test_a_whole_number_may_stand_for_a_fraction_and_a_fraction_without_rest_for_a_whole_number():
    read = parse_config({**CURRENT, RULES: {"maxItems": 30.0, "minScore": 1}, "guards": {"maxClearedPct": 15}})
    assert (read.recommendations.max_items, read.recommendations.min_score, read.guards.max_cleared_pct) == (30, 1, 15)


def test_every_rule_may_be_set_beside_the_others():
    rules = {
        "maxItems": 10,
        "minItems": 3,
        "minScore": 0.1,
        "itemFilter": "current_stock > 0",
        "blockItems": ["9"],
        "excludeItems": "input/bought/",
        "fallback": ["1", "2"],
        "holdout": {"percent": 0.5, "salt": "autumn"},
    }
    read = parse_config(with_rules(**rules)).recommendations
    assert read.model_dump(by_alias=True, include={"holdout", "block_items", "item_filter"}) == {
        name: rules[name] for name in ("itemFilter", "blockItems", "holdout")
    }


@pytest.mark.parametrize("raw", [{}, {RULES: {"minItems": None}}, {RULES: {"maxItems": 5}}])
def test_a_limit_on_short_lists_without_a_shortest_list_can_never_hold_and_is_named_with_the_fix(raw):
    (line,) = mistakes({**CURRENT, **raw, "guards": {"maxBelowMinItemsPct": 5}})
    assert line == (
        "guards.maxBelowMinItemsPct counts lists shorter than recommendations.minItems, which is not set; set it, or "
        "drop maxBelowMinItemsPct"
    )


def test_a_limit_on_short_lists_stands_beside_the_length_that_makes_them_short():
    raw = {**with_rules(minItems=3), "guards": {"maxBelowMinItemsPct": 0}}
    assert parse_config(raw).guards.max_below_min_items_pct == 0


def test_a_historic_file_has_no_longest_list_for_the_shortest_to_exceed():
    assert parse_config({**HISTORIC, RULES: {"minItems": 40}}).recommendations.min_items == 40


@pytest.mark.parametrize("rules", ["maxItems 10", [{"itemFilter": "a > 1"}], None])
def test_rules_that_are_no_object_are_a_mistake_of_a_historic_file_too(rules):
    (line,) = mistakes({**HISTORIC, RULES: rules})
    assert [line] == mistakes({**CURRENT, RULES: rules})
    assert line.startswith(f"{RULES} is {json.dumps(rules)}: Input should be")


@pytest.mark.parametrize(
    "own", [{"otherAttributes": {"holdout": 1}}, {"payloadShape": "arrays", "itemMetadataFields": ["holdout"]}]
)
def test_an_attribute_that_the_mark_of_the_holdout_needs_is_named(own):
    raw = {**with_braze(**own), RULES: {"holdout": {"percent": 1, "salt": "x"}}}
    (line,) = mistakes(raw)
    assert line.startswith("connectors.braze writes the attribute 'holdout', which marks the holdout")
    assert parse_config(with_braze(**own))


@pytest.mark.parametrize("choice", ["reject", "trim"])
def test_what_becomes_of_an_oversized_list_is_a_connectors_own_rule(choice):
    assert parse_config(with_braze(onOversize=choice)).connectors["braze"].on_oversize == choice


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
            "blockItems": [],
            "excludeItems": None,
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


REPEATED = """{
    "version": 1, "batchInferencePath": "input/batch/",
    "recommendations": {"blockItems": ["a"]}, "recommendations": {"maxItems": 5, "maxItem": 6},
    "connectors": {"braze": {"otherAttributes": {"a": 1, "b": [{"c": 1, "c": 2, "c": 3}], "a": 1}, "rankPrefix": false}}
}"""


def test_a_key_that_stands_twice_is_named_with_its_path_beside_the_other_mistakes(tmp_path):
    (tmp_path / "config.json").write_text(REPEATED)
    with pytest.raises(ConfigError) as caught:
        load_config(LocalStorage(tmp_path))
    assert str(caught.value).splitlines() == [
        "config.json has 4 mistake(s):",
        "connectors.braze.otherAttributes.a: stands 2 times, and only the last would count; keep one",
        "connectors.braze.otherAttributes.b.0.c: stands 3 times, and only the last would count; keep one",
        "recommendations.maxItem: unknown key; did you mean 'maxItems'?",
        "recommendations: stands 2 times, and only the last would count; keep one",
    ]


class OnS3(LocalStorage):
    root = "s3://shop/etl_jobs/user_personalization/for_you"


@pytest.mark.parametrize("address", ["input/batch/", "/data/batch/", "../batch/"])
def test_folders_that_a_job_on_s3_cannot_read_are_mistakes_like_others(tmp_path, address):
    on_s3 = OnS3(tmp_path)
    on_s3.put("config.json", json.dumps(with_rules(excludeItems=address) | {"batchInferencePath": address}).encode())
    with pytest.raises(ConfigError) as caught:
        load_config(on_s3)
    assert caught.value.mistakes == [
        f"batchInferencePath is '{address}'; beside a job folder on S3 it should start with s3://",
        f"recommendations.excludeItems is '{address}'; beside a job folder on S3 it should start with s3://",
    ]


def test_a_folder_outside_of_a_job_on_this_machine_is_a_mistake(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CURRENT | {"batchInferencePath": "in/../../x"}))
    with pytest.raises(ConfigError, match=r"batchInferencePath: .*\.\."):
        load_config(LocalStorage(tmp_path))


def test_what_a_repeated_key_hides_is_looked_through_too(tmp_path):
    hidden = '"guards": {"allowEmpty": true, "allowEmpty": true}, "guards": {}'
    (tmp_path / "config.json").write_text(f"{json.dumps(CURRENT)[:-1]}, {hidden}}}")
    with pytest.raises(ConfigError) as caught:
        load_config(LocalStorage(tmp_path))
    assert [line.split(":")[0] for line in str(caught.value).splitlines()[1:]] == ["guards.allowEmpty", "guards"]


def test_a_key_may_stand_in_each_of_several_objects(tmp_path):
    own = {"braze": {"performDeltaCheck": True}, "webhook": {"performDeltaCheck": True}}
    (tmp_path / "config.json").write_text(json.dumps({**CURRENT, "performDeltaCheck": True, "connectors": own}))
    assert load_config(LocalStorage(tmp_path)).checks_delta("braze")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=rf"{tmp_path}/config\.json is not there"):
        load_config(LocalStorage(tmp_path))


def test_a_file_is_read_as_it_stands(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CURRENT))
    assert load_config(LocalStorage(tmp_path)).batch_inference_path == "s3://b/batch/shop/similar/"


@pytest.mark.parametrize(
    ("rules", "needs"),
    [
        ({}, False),
        ({"includeScores": True}, True),
        ({"minScore": 0.0}, True),
        ({"relatedItems": {"merge": "score"}}, True),
        ({"relatedItems": {"merge": "concatenate"}}, False),
    ],
)
def test_scores_are_needed_where_a_rule_asks_for_them(rules, needs):
    assert parse_config(with_rules(**rules)).recommendations.needs_scores is needs


@pytest.mark.parametrize("text", [b"{", b"\xff", rb'{"version": 1, "\ud800": 1}', b"[" * 100_000])
def test_a_file_that_is_no_json_in_utf8_is_named(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text)
    with pytest.raises(ConfigError, match=r"config\.json is not JSON"):
        load_config(LocalStorage(tmp_path))
