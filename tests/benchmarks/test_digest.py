import gzip

import pytest

from benchmarks.digest import digest

ANN = b'{"userId":"ann","op":"upsert","recommendations":[{"itemId":"1","price":2.5},{"itemId":"2","price":null}]}\n'
BOB = b'{"userId":"bob","op":"upsert","recommendations":[]}\n'


@pytest.fixture
def part(tmp_path):
    def write(name, *lines):
        path = tmp_path / name
        path.write_bytes(gzip.compress(b"".join(lines)))
        return path

    return write


def test_neither_the_order_of_records_nor_that_of_keys_nor_the_cut_into_files_counts(part):
    turned = b'{ "op": "upsert", "recommendations": [], "userId": "bob", "changed": ["itemId"]}\n'
    whole = digest([part("a", ANN, BOB)])
    assert whole.records == 2
    assert whole == digest([part("b", turned), part("c", ANN)])


@pytest.mark.parametrize(
    "other",
    [
        ANN.replace(b"2.5", b"2.4"),
        ANN.replace(b'"1"', b'"3"'),
        ANN.replace(b'{"itemId":"1","price":2.5},{"itemId":"2","price":null}', b'{"itemId":"2","price":null}'),
        ANN.replace(b',"price":null', b""),
        ANN * 2,
        b"",
    ],
)
def test_a_record_that_differs_is_missing_or_stands_twice_shows(part, other):
    assert digest([part("a", ANN, BOB)]) != digest([part("b", other, BOB)])


def test_the_order_of_a_list_counts(part):
    turned = (
        b'{"userId":"ann","op":"upsert","recommendations":[{"itemId":"2","price":null},{"itemId":"1","price":2.5}]}'
    )
    assert digest([part("a", ANN)]) != digest([part("b", turned)])
