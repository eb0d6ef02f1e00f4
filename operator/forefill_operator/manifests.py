"""TokenPolicies from YAML files, for an operator without a cluster and for tools that take a policy file."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from forefill_operator import policy, schema
from forefill_operator.policy import InvalidPolicy, TokenPolicy

# uid of a policy that no API server has numbered: the same for the same key, in every run.
_UIDS = uuid.uuid5(uuid.NAMESPACE_DNS, policy.GROUP)


class InvalidManifest(ValueError):
    """A file can't be used. The sentence names the file, its document when it has several, and the field."""


def read_folder(folder: Path, known: Mapping[str, TokenPolicy]) -> dict[str, TokenPolicy]:
    """Policies of the folder's *.yaml and *.yml files by key; `known` is what an earlier call gave, or empty.

    Raises InvalidManifest for the first fault, so that a caller takes the whole folder or keeps what it has.
    """
    if not folder.is_dir():
        raise InvalidManifest(f"{folder}: is not a folder")
    found: dict[str, TokenPolicy] = {}
    for path in sorted(entry for entry in folder.iterdir() if entry.suffix in (".yaml", ".yml")):
        for parsed in read_file(path, known):
            if parsed.key in found:
                raise InvalidManifest(f"{path}: TokenPolicy {parsed.key} is there twice")
            found[parsed.key] = parsed
    return found


def read_file(path: Path, known: Mapping[str, TokenPolicy]) -> list[TokenPolicy]:
    """The policies of one file, which may hold several documents. Raises InvalidManifest."""
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        modified = path.stat().st_mtime_ns // 1_000_000
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidManifest(f"{path}: can't be read: {' '.join(str(error).split())}") from None
    policies = []
    for number, document in enumerate(documents, start=1):
        if document is not None:
            where = str(path) if len(documents) == 1 else f"{path}, document {number}"
            policies.append(_read(document, where, known, modified))
    return policies


def _read(document: Any, where: str, known: Mapping[str, TokenPolicy], modified: int) -> TokenPolicy:
    try:
        parsed = policy.parse_policy(_identified(document))
    except InvalidPolicy as invalid:
        raise InvalidManifest(f"{where}: {invalid}") from None
    return TokenPolicy(
        key=parsed.key,
        uid=parsed.uid,
        generation=_generation(parsed, known.get(parsed.key), modified),
        spec=parsed.spec,
    )


def _identified(document: Any) -> dict[str, Any]:
    """The defaulted manifest with the metadata that an API server would add. Raises InvalidPolicy."""
    if not isinstance(document, dict):
        raise InvalidPolicy("InvalidManifest", "manifest", f"must be a mapping, not {type(document).__name__}")
    for field, expected in (("apiVersion", policy.API_VERSION), ("kind", policy.KIND)):
        if document.get(field) != expected:
            raise InvalidPolicy("InvalidManifest", field, f"is {document.get(field)!r}, but must be {expected}")
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        raise InvalidPolicy("InvalidManifest", "metadata.name", "is required")
    namespace = metadata.get("namespace", "default")
    uid = str(uuid.uuid5(_UIDS, f"{namespace}/{metadata['name']}"))
    return schema.complete({**document, "metadata": {**metadata, "namespace": namespace, "uid": uid}})


def _generation(parsed: TokenPolicy, earlier: TokenPolicy | None, modified: int) -> int:
    """Rises with each change of the spec, through restarts too: the file's time in ms, or one more."""
    if earlier is None:
        return modified
    return earlier.generation if earlier.spec == parsed.spec else max(modified, earlier.generation + 1)
