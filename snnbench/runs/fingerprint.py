"""Whether two runs, or a run and what lies there now, are of the same data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict


class Files(TypedDict):
    """The files of a data set; or its images, where these are no files that somebody knows of.

    Attributes:
        count, bytes: of all.
        index: digest of names, sizes and times of the last change in seconds; None where there are no files.
        content: digest of names and contents; None where so many bytes were not read.
        parts: digests of the content by the first component of the names, where there are only a few.
        published: whether they were proved to be the published ones.
    """

    count: int
    bytes: int
    index: str | None
    content: str | None
    parts: dict[str, str]
    published: bool


class Fingerprint(TypedDict):
    """What the data of a run is.

    Attributes:
        source: what it was loaded by.
        split: how its parts were told apart.
        samples: how many there are of each part: "train", "test" and perhaps "val".
        classes: for each part how many of each class, from class 0 on.
        labels: digest of all labels, part by part and in order; None where they are not known.
        files: None where nothing is known of them.
    """

    source: str
    split: str
    samples: dict[str, int]
    classes: dict[str, list[int]]
    labels: str | None
    files: Files | None


def differences(before: Any, now: Any) -> list[str]:
    """In what two fingerprints differ, in words, the plainest first; nothing where one of them is not known."""
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return []
    said = [key for key in ("source", "split") if _other(key, before, now)]
    found = [f"{key}: {before.get(key)} then, {now.get(key)} now" for key in said]
    counts = _counts(_mapping(before, "samples"), _mapping(now, "samples"), "samples")
    found += counts
    if not counts:
        found += _classes(_mapping(before, "classes"), _mapping(now, "classes"))
    found += _files(before.get("files"), now.get("files"))
    if not found and _other("labels", before, now):
        found.append("the labels")
    return found


def same_files(before: Any, now: Any) -> bool:
    """Whether the files of two fingerprints are known, and equal."""
    return bool(isinstance(before, Mapping) and isinstance(now, Mapping) and not _files(before, now))


def digest(files: Any) -> str | None:
    """One word for files: their content, or else their index; None where neither is known."""
    known = (files.get("content") or files.get("index")) if isinstance(files, Mapping) else None
    return str(known) if known else None


def _other(key: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    pair = before.get(key), now.get(key)
    return None not in pair and pair[0] != pair[1]


def _mapping(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, Mapping) else {}


def _counts(before: Mapping[str, Any], now: Mapping[str, Any], what: str) -> list[str]:
    keys = [*before, *(key for key in now if key not in before)]
    return [
        f"{before.get(key, 0)} {key} {what} then, {now.get(key, 0)} now"
        for key in keys
        if before.get(key, 0) != now.get(key, 0)
    ]


def _classes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    for part in before.keys() & now.keys():
        ours, theirs = (value if isinstance(value, list) else [] for value in (before[part], now[part]))
        for label in range(max(len(ours), len(theirs))):
            pair = [counts[label] if label < len(counts) else 0 for counts in (ours, theirs)]
            if pair[0] != pair[1]:
                return [f"{pair[0]} {part} samples of class {label} then, {pair[1]} now"]
    return []


def _files(before: Any, now: Any) -> list[str]:
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return []
    if before.get("content") and now.get("content"):
        if before["content"] == now["content"]:
            return []
        ours, theirs = _mapping(before, "parts"), _mapping(now, "parts")
        names = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        if ours and theirs and names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            return [f"what is in {', '.join(names[:3])}{more}"]
        return ["what is in its files"]
    if before.get("published") is True and now.get("published") is True:
        return []
    for key in ("count", "bytes"):
        if _other(key, before, now):
            return [f"{before[key]} {'files' if key == 'count' else key} then, {now[key]} now"]
    if _other("index", before, now):
        return ["names, sizes or times of its files (data.verify=full in a new run tells data by its content)"]
    return []
