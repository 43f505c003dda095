"""What a stack is made of, asserted where linters and emulators do not look."""

from __future__ import annotations

import ast
import json
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from cloudformation import PATH, Stack, load, statements, texts
from stacks import BRAZE, SECRET, WEBHOOK

from cli.stack import BUCKET_OUTPUT, JOB_OUTPUTS
from connectors import registry
from connectors.base import Verdict
from connectors.contract import layout
from functions.deliver import RENEWED_FROM
from functions.enqueue import CLAIM

ROOT = PATH.parent
RUN_ID = "20261121T040000Z-3f9a2c"


def queue_of(arn: str) -> str:
    return re.fullmatch(r"\$\{(\w+)\.Arn\}", arn)[1]


def functions(stack: Stack) -> dict[str, dict]:
    return stack.of_type("AWS::Serverless::Function")


def consumers(stack: Stack):
    """Each function that a queue feeds: its timeout, the feed, the queue and its dead-letter queue."""
    timeout_s = stack.template["Globals"]["Function"]["Timeout"]
    queues = stack.of_type("AWS::SQS::Queue")
    for name, function in functions(stack).items():
        for feed in function.get("Events", {}).values():
            queue = queues[queue_of(feed["Properties"]["Queue"])]
            dead = queues[queue_of(queue["RedrivePolicy"]["deadLetterTargetArn"])]
            yield name, function.get("Timeout", timeout_s), feed["Properties"], queue, dead


# ---- Parameters


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (BRAZE, "BrazeEndpoint is given and no key"),
        ({"BrazeApiKey": "key"}, "no BrazeEndpoint"),
        ({"BrazeApiKeySecretArn": SECRET}, "no BrazeEndpoint"),
        ({**BRAZE, "BrazeApiKey": "key", "BrazeApiKeySecretArn": SECRET}, "both given"),
        (WEBHOOK, "WebhookEndpoint is given and no secret"),
        ({"WebhookSecret": "whsec_x"}, "no WebhookEndpoint"),
        ({"PersonalizeStackName": "mpe", "BatchBucketName": "batches"}, "not both"),
    ],
)
def test_half_of_a_destination_is_refused_with_a_sentence(given, said):
    (refused,) = Stack(**given).refused()
    assert said in refused
    assert "; " in refused


def test_whole_parameters_are_not_refused(stack):
    assert stack.refused() == []


@pytest.mark.parametrize("connector", registry.names())
def test_without_its_parameters_a_destination_leaves_no_trace(stacks, connector):
    assert [text for text in texts(stacks["nothing"].resources) if connector in text.lower()] == []
    assert [name for name in stacks["nothing"].outputs if connector in name.lower()] == []


def test_a_key_is_never_echoed_and_goes_into_a_secret_only():
    template = load()
    keys = {name for name, told in template["Parameters"].items() if told.get("NoEcho")}
    assert keys == {"BrazeApiKey", "WebhookSecret"}
    holders = {name for name, told in template["Resources"].items() for key in keys if key in list(texts(told))}
    assert holders == {"BrazeOwnSecret", "WebhookOwnSecret"}


@pytest.mark.parametrize(
    ("parameter", "good", "bad"),
    [
        ("BrazeEndpoint", "https://rest.fra-02.braze.eu", "https://rest.iad-01.braze.com.attacker.example"),
        ("BrazeEndpoint", "https://rest.us-10.braze.com", "http://rest.iad-01.braze.com"),
        ("BatchPrefix", "batch/", "batch"),
        ("ScheduleExpression", "cron(0 5 * * ? *)", "every day"),
        ("ScheduledJobs", "related_items/a,user_personalization/b", "related_items"),
        ("ConnectorBucketName", "old-bucket", "s3://old-bucket"),
    ],
)
def test_a_parameter_is_checked_before_anything_is_made(parameter, good, bad):
    pattern = load()["Parameters"][parameter]["AllowedPattern"]
    assert re.search(pattern, good)
    assert not re.search(pattern, bad)
    assert re.search(pattern, "")


def test_every_parameter_has_its_place_in_the_console_and_is_used():
    template = load()
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(template["Parameters"])
    body = PATH.read_text().partition("\nRules:")[2]
    assert [name for name in template["Parameters"] if not re.search(rf"\b{name}\b", body)] == []


# ---- Resources hang together


def test_what_is_referred_to_is_made(stack):
    """A reference to what a condition left out fails only while deploying."""
    named = {name for text in texts([stack.resources, stack.outputs]) for name in re.findall(r"\$\{(\w+)[.}]", text)}
    assert named - stack.resources.keys() == set()


def test_f59_no_arn_names_a_partition():
    body = PATH.read_text().partition("\nConditions:")[2]
    assert re.findall(r"arn:aws[a-z-]*:", body) == []
    assert "amazonaws.com/" not in body


def test_each_function_has_a_handler_that_exists(whole):
    for name, function in functions(whole).items():
        module, _, handler = function["Handler"].rpartition(".")
        tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
        assert handler in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name


def test_each_function_is_built_by_a_target_of_the_makefile(whole):
    targets = re.findall(r"^(build-[\w%]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for name, function in functions(whole).items():
        assert whole.resources[name]["Metadata"] == {"BuildMethod": "makefile"}, name
        assert any(fnmatchcase(f"build-{name}", target.replace("%", "*")) for target in targets), function["Handler"]


def test_the_environment_is_what_the_functions_read(whole):
    read = set()
    for path in (ROOT / "functions").glob("*.py"):
        read |= set(re.findall(r"""(?:required|environ\.get|_number)\(\s*["']([A-Z_]+)["']""", path.read_text()))
    per_name = {"QUEUE_URL_": "connector", "DEAD_LETTER_QUEUE_URL_": "connector", "GLUE_JOB_": "job type"}
    told = {
        name for function in functions(whole).values() for name in function.get("Environment", {}).get("Variables", {})
    }
    told |= whole.template["Globals"]["Function"]["Environment"]["Variables"].keys()
    plain = {name for name in told if not any(name.startswith(prefix) for prefix in per_name)}
    # What an address on this machine would need is for tests, so the template never sets it.
    assert plain == read - {"RECSYNC_ALLOW_LOOPBACK"}


def test_each_connector_has_a_queue_that_enqueue_knows(whole):
    enqueue, sweep = functions(whole)["EnqueueFunction"], functions(whole)["SweepFunction"]
    for name in registry.names():
        assert enqueue["Environment"]["Variables"][f"QUEUE_URL_{name.upper()}"] == f"${{{name.title()}Queue}}"
        dead = sweep["Environment"]["Variables"][f"DEAD_LETTER_QUEUE_URL_{name.upper()}"]
        assert dead == f"${{{name.title()}DeadLetterQueue}}"


def test_every_connector_has_the_same_stanza():
    """Adding a destination is one stanza: copy it, and change its name."""
    stanzas = dict(
        re.findall(r"\n  # ---- (\w+): its whole stanza -+\n(.*?)(?=\n  # ----)", PATH.read_text(), re.DOTALL)
    )
    assert sorted(stanzas) == registry.names()
    of_nobody = {_nameless(stanza, name) for name, stanza in stanzas.items()}
    assert len(of_nobody) == 1


def _nameless(stanza: str, name: str) -> str:
    """A stanza without its connector's name, and with one word for what some call a key and others a secret."""
    for own, nobodys in ((name.title(), "Some"), (name.upper(), "SOME"), (name, "some"), ("SomeApiKey", "SomeSecret")):
        stanza = stanza.replace(own, nobodys)
    return stanza.replace("SomeSecretSecretArn", "SomeSecretArn")


# ---- Queues and feeds


def test_f44_a_message_is_hidden_for_six_timeouts_and_the_window(stack):
    found = list(consumers(stack))
    assert found
    for name, timeout_s, feed, queue, _ in found:
        assert timeout_s < CLAIM.total_seconds() < queue["VisibilityTimeout"]
        assert queue["VisibilityTimeout"] >= 6 * timeout_s + feed.get("MaximumBatchingWindowInSeconds", 0), name


def test_f57_dead_letters_are_kept_longer_than_their_queue(stack):
    for name, _, _, queue, dead in consumers(stack):
        assert dead["MessageRetentionPeriod"] == 14 * 86_400 > queue["MessageRetentionPeriod"], name


def test_a_feed_reports_single_failures_and_takes_batches_that_lambda_allows(stack):
    for name, _, feed, _, _ in consumers(stack):
        assert feed["FunctionResponseTypes"] == ["ReportBatchItemFailures"], name
        assert feed["BatchSize"] <= 10 or feed.get("MaximumBatchingWindowInSeconds", 0) >= 1, name
        assert int(stack.parameters.get(feed["ScalingConfig"]["MaximumConcurrency"], 10)) >= 2, name


def test_a_new_message_waits_on_the_queue_of_its_connector_and_nowhere_else(whole):
    delays = {name: queue.get("DelaySeconds") for name, queue in whole.of_type("AWS::SQS::Queue").items()}
    expected = {f"{name.title()}Queue": "30" for name in registry.names()}
    assert {name: delay for name, delay in delays.items() if delay} == expected


def test_a_retried_delivery_is_not_dead_lettered_by_count(whole):
    for name, _, _, queue, _ in consumers(whole):
        if name.startswith("Deliver"):
            assert RENEWED_FROM < queue["RedrivePolicy"]["maxReceiveCount"] == 100


@pytest.mark.parametrize("job_type", layout.JOB_TYPES)
@pytest.mark.parametrize("connector", [*registry.names(), "someone.elses"])
def test_the_rule_sees_manifests_and_nothing_else(whole, job_type, connector):
    """EventBridge's wildcard stands for any characters, slashes too."""
    (pattern,) = whole.properties("PublishedRule")["EventPattern"]["detail"]["object"]["key"]
    folder = f"etl_jobs/{job_type}/demo"
    assert fnmatchcase(f"{folder}/{layout.manifest(connector, RUN_ID)}", pattern["wildcard"])
    others = [
        layout.part(connector, RUN_ID, "0"),
        layout.pointer(connector),
        layout.snapshot(connector, 1, RUN_ID) + "/users.parquet",
        layout.receipts(connector, RUN_ID) + "a.jsonl",
        layout.CONFIG,
    ]
    assert [key for key in others if fnmatchcase(f"{folder}/{key}", pattern["wildcard"])] == []


def test_events_of_the_rule_may_enter_the_work_queue(stack):
    rule = stack.properties("PublishedRule")
    (target,) = rule["Targets"]
    for arn in (target["Arn"], target["DeadLetterConfig"]["Arn"]):
        policy = stack.properties(f"{queue_of(arn)}Policy")["PolicyDocument"]
        (allowed,) = [told for told in statements(policy) if told["Effect"] == "Allow"]
        assert allowed["Principal"] == {"Service": "events.amazonaws.com"}
        assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": "${PublishedRule.Arn}"}}


def test_the_bucket_tells_eventbridge_of_its_objects(stacks):
    bucket = stacks["nothing"].properties("ConnectorBucket")
    assert bucket["NotificationConfiguration"]["EventBridgeConfiguration"]["EventBridgeEnabled"] is True
    assert stacks["nothing"].properties("PublishedRule")["EventPattern"]["detail"]["bucket"] == {
        "name": ["${ConnectorBucket}"]
    }
    assert stacks["all"].properties("PublishedRule")["EventPattern"]["detail"]["bucket"] == {"name": ["old-bucket"]}
    assert "ConnectorBucket" not in stacks["all"].resources


def test_whoever_calls_a_function_may(stack):
    allowed = {(told["FunctionName"], told["SourceArn"]) for told in stack.of_type("AWS::Lambda::Permission").values()}
    called = {
        (target["Arn"].removesuffix(".Arn}") + "}", f"${{{name}.Arn}}")
        for name, rule in stack.of_type("AWS::Events::Rule").items()
        for target in rule["Targets"]
        if "Function" in target["Arn"]
    }
    assert called == allowed


# ---- Glue


@pytest.mark.parametrize("job_type", layout.JOB_TYPES)
def test_each_job_type_has_its_glue_job(stack, job_type):
    (job,) = [told for told in stack.of_type("AWS::Glue::Job").values() if told["Name"].endswith(job_type)]
    assert job["Command"]["Name"] == "glueetl"
    assert job["Command"]["ScriptLocation"] == f"${{GlueAssets.Prefix}}/{job_type}_etl.py"
    assert (ROOT / "glue_jobs" / f"{job_type}_etl.py").is_file()
    assert (job["MaxRetries"], job["ExecutionProperty"]["MaxConcurrentRuns"]) == (0, "10")
    arguments = job["DefaultArguments"]
    assert arguments["--job-bookmark-option"] == "job-bookmark-disable"
    assert arguments["--enable-auto-scaling"] == "true"
    assert arguments["--python-modules-installer-option"] == "--no-index"
    assert arguments["--additional-python-modules"].endswith(f"/glue-{job['GlueVersion']}.gluewheels.zip")
    assert all(isinstance(value, str) for value in arguments.values())


def test_glue_runs_a_version_that_is_tested(stack):
    """No linter knows them."""
    assert load()["Parameters"]["GlueVersion"]["AllowedValues"] == ["5.1", "6.0"]
    assert {job["GlueVersion"] for job in stack.of_type("AWS::Glue::Job").values()} <= {"5.1", "6.0"}


def test_functions_run_on_the_python_they_are_built_for():
    """The linter lets any runtime of a serverless function pass."""
    runtime = load()["Globals"]["Function"]["Runtime"]
    assert runtime == "python3.13"
    assert "3.13" in (ROOT / "Makefile").read_text()


# ---- Watching


def test_an_alarm_tells_the_topic_and_silence_is_no_alarm_but_for_batches(stack):
    for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items():
        assert alarm["AlarmActions"] == ["${Alarms}"], name
        assert alarm["TreatMissingData"] == ("breaching" if name == "StaleBatchAlarm" else "notBreaching"), name


def test_an_old_batch_rings_only_where_runs_start_by_themselves(stacks):
    ringing = {name for name, stack in stacks.items() if "StaleBatchAlarm" in stack.resources}
    assert ringing == {"all"}


def test_every_queue_and_function_is_watched(stack):
    watched = {
        dimension["Value"]
        for alarm in stack.of_type("AWS::CloudWatch::Alarm").values()
        for dimension in alarm.get("Dimensions", ())
    }
    queues = {f"${{{name}.QueueName}}" for name in stack.of_type("AWS::SQS::Queue")}
    # The one that publishes code works only while a stack is deployed, and fails it when it fails.
    names = {f"${{{name}}}" for name in functions(stack) if name != "GlueAssetsFunction"}
    assert queues | names <= watched


def test_alarms_ring_on_metrics_that_the_functions_count(whole):
    emitted = {f"Records{verdict.value.title()}" for verdict in Verdict}
    for path in (ROOT / "functions").glob("*.py"):
        emitted |= set(re.findall(r'count\(\s*"(\w+)"', path.read_text()))
    alarms = whole.of_type("AWS::CloudWatch::Alarm").values()
    single = [alarm for alarm in alarms if alarm.get("Namespace") == "recsync"]
    parts = [one["MetricStat"]["Metric"] for alarm in alarms for one in alarm.get("Metrics", ()) if "MetricStat" in one]
    assert len(single) + len(parts) > 8
    for metric in [*single, *parts]:
        assert metric["MetricName"] in emitted
        assert [told["Name"] for told in metric["Dimensions"]] in (["Stack", "Connector"], ["Stack"])


def test_the_slow_alarm_rings_before_the_timeout(whole):
    usual_s = whole.template["Globals"]["Function"]["Timeout"]
    slow = [one for one in whole.of_type("AWS::CloudWatch::Alarm").values() if one.get("MetricName") == "Duration"]
    for alarm in slow:
        name = alarm["Dimensions"][0]["Value"].strip("${}")
        timeout_s = functions(whole)[name].get("Timeout", usual_s)
        assert alarm["Threshold"] == 0.8 * timeout_s * 1000
        assert f"its timeout of {timeout_s} s" in alarm["AlarmDescription"]
    assert {one["ExtendedStatistic"] for one in slow} == {"p99"}


def test_cloudwatch_and_eventbridge_may_really_publish(whole):
    told = {one["Sid"]: one for one in statements(whole.properties("AlarmsPolicy")["PolicyDocument"])}
    assert told["CloudWatchMayPublish"]["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    pattern = told["CloudWatchMayPublish"]["Condition"]["ArnLike"]["aws:SourceArn"]
    assert fnmatchcase("arn:aws-cn:cloudwatch:cn-north-1:123456789012:alarm:shop-sync-BrazeAge-1X", pattern)
    assert told["EventBridgeMayPublish"]["Principal"] == {"Service": "events.amazonaws.com"}
    assert "Condition" not in told["EventBridgeMayPublish"]
    # A topic under the key of AWS would take no alarm.
    assert "KmsMasterKeyId" not in whole.properties("Alarms")


@pytest.mark.parametrize(
    ("message", "rings"),
    [
        ("SystemExit: 1", "GlueFailedRule"),
        ("SystemExit: 2", "GlueFailedRule"),
        ("An error occurred while calling o90.save", "GlueFailedRule"),
        ("Error Category: UNCLASSIFIED_ERROR; SystemExit: 3", "GlueHeldRule"),
        ("SystemExit: 4", "GlueConflictRule"),
    ],
)
def test_exits_3_and_4_ring_as_held_and_conflict_and_everything_else_as_failed(whole, message, rings):
    def matches(rule):
        (wanted,) = rule["EventPattern"]["detail"]["message"]
        if "wildcard" in wanted:
            return fnmatchcase(message, wanted["wildcard"])
        return not any(fnmatchcase(message, pattern) for pattern in wanted["anything-but"]["wildcard"])

    rules = {name: rule for name, rule in whole.of_type("AWS::Events::Rule").items() if name.startswith("Glue")}
    assert [name for name, rule in rules.items() if matches(rule)] == [rings]
    assert rules["GlueFailedRule"]["EventPattern"]["detail"]["state"] == ["FAILED", "ERROR", "TIMEOUT"]


def test_the_dashboard_is_json_of_this_stack(stack):
    board = json.loads(stack.properties("Dashboard")["DashboardBody"])
    shown = json.dumps(board)
    assert "shop-sync" in shown
    named = set(re.findall(r"\$\{(\w+)(?:\.QueueName)?\}", shown))
    assert named == {*stack.of_type("AWS::SQS::Queue"), *functions(stack)} - {"GlueAssetsFunction"}
    assert len({(one["x"], one["y"]) for one in board["widgets"]}) == len(board["widgets"])
    assert "{recsync,Stack,Connector,Job}" in shown


def test_a_function_that_sends_to_its_own_queue_is_not_taken_for_a_loop(stack):
    """Lambda would drop what waits for the sixteenth time."""
    for name, function in functions(stack).items():
        assert function.get("RecursiveLoop") == ("Allow" if name.startswith("Deliver") else None), name


def test_a_dashboard_of_another_region_is_another_one(stack):
    assert stack.properties("Dashboard")["DashboardName"] == "shop-sync-cn-north-1"


@pytest.mark.parametrize("name", ["StartSyncSlowAlarm", "SweepSlowAlarm"])
def test_what_is_called_rarely_rings_the_first_time_that_it_is_slow(stack, name):
    assert stack.properties(name)["EvaluationPeriods"] == 1


def test_every_log_has_an_end(stack):
    groups = stack.of_type("AWS::Logs::LogGroup")
    assert {group["RetentionInDays"] for group in groups.values()} == {"30"}
    for name, function in functions(stack).items():
        assert function["LoggingConfig"]["LogGroup"].strip("${}") in groups, name
    for job in stack.of_type("AWS::Glue::Job").values():
        prefix = job["DefaultArguments"]["--custom-logGroup-prefix"]
        names = {group["LogGroupName"] for group in groups.values()}
        assert {f"{prefix}/output", f"{prefix}/error"} <= names


def test_docs_that_alarms_name_exist():
    for page in set(re.findall(r"docs/[\w/-]+\.md", PATH.read_text())):
        assert Path(ROOT / page).is_file(), page


# ---- What recsync asks the stack for


def test_recsync_finds_the_bucket_and_each_type_s_job_in_the_outputs(stack):
    bucket = stack.parameters["ConnectorBucketName"] or "${ConnectorBucket}"
    assert stack.outputs[BUCKET_OUTPUT] == bucket
    assert JOB_OUTPUTS.keys() == set(layout.JOB_TYPES)
    for job_type, output in JOB_OUTPUTS.items():
        job = stack.properties(stack.outputs[output].strip("${}"))
        assert job["Name"] == f"shop-sync-{job_type}"
        groups = {group["LogGroupName"] for group in stack.of_type("AWS::Logs::LogGroup").values()}
        assert f"{job['DefaultArguments']['--custom-logGroup-prefix']}/error" in groups
