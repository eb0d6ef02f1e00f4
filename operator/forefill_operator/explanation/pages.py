"""From the document of /v1/explain to the page that shows it."""

import msgspec

from forefill_operator.explanation import client_page, policy_page
from forefill_operator.explanation.facts import ClientFacts, PolicyFacts
from forefill_operator.explanation.page import Page

_DECODER = msgspec.json.Decoder(PolicyFacts | ClientFacts)


def page_of(document: bytes) -> Page:
    """Raises msgspec.DecodeError for what no operator of this version sends."""
    facts = _DECODER.decode(document)
    return policy_page.page_of(facts) if isinstance(facts, PolicyFacts) else client_page.page_of(facts)
