"""`sam build` and `sam deploy` of the real template, onto the emulator."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from emulator import REGION, ROOT, Emulator

from cli.emulators.braze import BrazeEmulator

KEY = "key-canary"
BRAZE = {"BrazeEndpoint": "https://rest.iad-01.braze.com", "BrazeApiKey": KEY, "MessageDelaySeconds": "0"}
SAM = ROOT / ".tools/sam/bin/sam"


def build(emulator: Emulator, source: Path, folder: Path) -> Path:
    """Build a copy of the repository, and give the folder of what was built."""
    built = folder / "built"
    run = [
        SAM,
        "build",
        "--build-dir",
        built,
        "--template-file",
        source / "template.yaml",
        "--config-file",
        source / "samconfig.toml",
    ]
    _call(run, emulator, source)
    return built


def for_emulator(built: Path) -> list[str]:
    """Change what the emulator cannot take in a built template; the names of what was changed.

    It speaks plain HTTP, which the policies deny; it knows no alarm on metric math; it does not make a number of a
    parameter's text in ScalingConfig; and it asks for sqs:SendMessageBatch, which is no action of AWS: a batch needs
    the right sqs:SendMessage. The tests of the template look after these four.
    """
    path = built / "template.yaml"
    template = yaml.safe_load(path.read_text())
    changed = []
    for name, resource in list(template["Resources"].items()):
        properties = resource.get("Properties", {})
        if resource["Type"].endswith("Policy"):
            document = properties["PolicyDocument"]
            document["Statement"] = [told for told in document["Statement"] if told["Sid"] != "OnlyOverTls"]
            if not document["Statement"]:
                del template["Resources"][name]
        elif "Metrics" in properties:
            del template["Resources"][name]
        elif resource["Type"] == "AWS::IAM::Role":
            _with_batches(properties)
        elif not _with_numbers(properties):
            continue
        changed.append(name)
    path.write_text(yaml.safe_dump(template, sort_keys=False))
    return changed


def _with_batches(role: dict[str, Any]) -> None:
    for policy in role["Policies"]:
        for told in policy["PolicyDocument"]["Statement"]:
            if told.get("Action") == "sqs:SendMessage":
                told["Action"] = ["sqs:SendMessage", "sqs:SendMessageBatch"]


def _with_numbers(properties: dict[str, Any]) -> bool:
    feeds = [event["Properties"] for event in properties.get("Events", {}).values()]
    for feed in feeds:
        feed["ScalingConfig"] = {"MaximumConcurrency": 2}
    return bool(feeds)


class Deployed:
    """A stack on the emulator."""

    def __init__(self, emulator: Emulator, name: str, source: Path, built: Path) -> None:
        self.emulator, self.name, self._source, self._built = emulator, name, source, built

    def deploy(self, **parameters: str) -> tuple[str, float]:
        """What SAM said, and how long it took in seconds."""
        started = time.monotonic()
        overrides = [f"{name}={value}" for name, value in parameters.items()]
        run = [SAM, "deploy", "--template-file", self._built / "template.yaml", "--stack-name", self.name]
        run += ["--config-file", self._source / "samconfig.toml", "--no-confirm-changeset", "--no-progressbar"]
        run += ["--no-fail-on-empty-changeset", *(["--parameter-overrides", *overrides] if overrides else [])]
        return _call(run, self.emulator, self._source), time.monotonic() - started

    def delete(self) -> None:
        _call(
            [SAM, "delete", "--stack-name", self.name, "--no-prompts", "--region", REGION], self.emulator, self._source
        )

    @property
    def outputs(self) -> dict[str, str]:
        (stack,) = self.emulator.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"]
        return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}

    def physical(self, name: str) -> str:
        """The id that AWS gave a resource."""
        found = self.emulator.client("cloudformation").describe_stack_resource(
            StackName=self.name, LogicalResourceId=name
        )
        return str(found["StackResourceDetail"]["PhysicalResourceId"])


def point_at(deployed: Deployed, braze: BrazeEmulator) -> None:
    """Have the stack deliver to this machine: the template knows no such switch."""
    ssm, functions = deployed.emulator.client("ssm"), deployed.emulator.client("lambda")
    ssm.put_parameter(Name=f"/{deployed.name}/braze/endpoint", Value=braze.endpoint, Overwrite=True)
    name = deployed.physical("DeliverBrazeFunction")
    told = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    told["RECSYNC_ALLOW_LOOPBACK"] = "1"
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": told})


def wait_until(is_so: Callable[[], bool], *, within_s: float = 90) -> None:
    """Look again and again until something is so."""
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.5)


def copy_of_repository(folder: Path) -> Path:
    """What a fresh clone holds, so that building leaves nothing behind and a change of code changes only the copy."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    # What was fetched before, by hash, need not be fetched anew.
    if (ROOT / "build").is_dir():
        shutil.copytree(ROOT / "build", folder / "build")
    return folder


def _call(run: list[Any], emulator: Emulator, folder: Path) -> str:
    environment = emulator.environment | {"SAM_CLI_TELEMETRY": "0"}
    done = subprocess.run(
        [str(word) for word in run], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{run[1]}: {done.stdout[-6000:]}\n{done.stderr[-4000:]}")
    return done.stdout + done.stderr
