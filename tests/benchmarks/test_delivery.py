from benchmarks import delivery


def test_every_record_of_a_message_is_packed_and_taken(monkeypatch):
    calls = []
    real = delivery.call

    def noting(*arguments):
        told = real(*arguments)
        calls.append((told.requests, len(told.outcomes), {outcome.verdict.value for outcome in told.outcomes}))
        return told

    monkeypatch.setattr(delivery, "call", noting)
    found = delivery.packing(delivery.bodies(2))
    assert calls == [(1, 75, {"delivered"})] * 2
    assert found.per_cpu_s > 0


def test_no_more_requests_are_answered_than_the_waits_allow():
    found = delivery.sending(16, body_bytes=1_000)
    assert 0 < found.requests_per_s <= delivery.CONCURRENCY / delivery.ANSWER_S
