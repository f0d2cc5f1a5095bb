"""The contract of service LLMs; a service's test class inherits from `ServiceContract`."""

import json

from llamaduo.records import Message
from llamaduo.service import Completion, Failure, Request, Service


class ServiceContract:
    """Inherit, and give the fixtures `service` and `requests`, two or more that it can answer."""

    def test_one_outcome_per_request(self, service: Service, requests: list[Request]) -> None:
        outcomes = list(service.complete(requests))
        assert sorted(o.request_id for o in outcomes) == sorted(r.id for r in requests)
        assert all(isinstance(o, Completion) for o in outcomes)

    def test_completions_say_what_they_took(
        self, service: Service, requests: list[Request]
    ) -> None:
        for outcome in service.complete(requests):
            assert isinstance(outcome, Completion)
            assert outcome.text
            assert outcome.bill.calls == 1
            assert outcome.bill.input_tokens > 0
            assert outcome.bill.output_tokens > 0

    def test_no_requests_no_outcomes(self, service: Service) -> None:
        assert list(service.complete([])) == []

    def test_a_request_that_cannot_be_answered_does_not_hurt_the_others(
        self, service: Service, requests: list[Request]
    ) -> None:
        odd = Request(id="odd", messages=(Message(role="user", content="?"),), max_tokens=1)
        outcomes = {o.request_id: o for o in service.complete([requests[0], odd, requests[1]])}
        assert isinstance(outcomes[requests[0].id], Completion)
        assert isinstance(outcomes[requests[1].id], Completion)
        assert isinstance(outcomes["odd"], Completion | Failure)

    def test_identity_is_plain_json(self, service: Service) -> None:
        json.dumps(service.identity, allow_nan=False)
        assert service.name
