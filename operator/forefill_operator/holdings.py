"""What a client that greets says of the lease it holds, and how far it is believed. Pure: `now` is given."""

from forefill_operator.demand import Demand
from forefill_operator.issuer import Issuer
from forefill_operator.learning import claimed_envelope, confirmed_envelope
from forefill_operator.member import Member
from forefill_operator.planner import Planner
from forefill_protocol.messages import Holding


def take_word(planner: Planner, issuer: Issuer, member: Member, holding: Holding, now: float) -> None:
    """Confirm what an earlier operator may have granted; account for what nobody here knows of."""
    uid, policy, ledger, learning = member.client.pod_uid, planner.policy, issuer.ledger, issuer.learning
    account = ledger.accounts.get(uid)
    if account is None and holding.grant_sequence > 0 and now < learning.until:
        confirmed = confirmed_envelope(holding, policy.spec, learning, now)
        ledger.issue(uid, confirmed, now)
        # Until its first report, a client of an earlier operator is taken to need what it holds.
        planner.expect(member, Demand(request=confirmed.rate, reactive=confirmed.rate), now)
        planner.promise(member, confirmed.rate)
        is_granted = confirmed.rate >= holding.fill_rate
    else:
        ledger.acknowledge(uid, holding.grant_sequence, now)
        is_granted = account is not None and account.knows(holding.grant_sequence)
    if not is_granted:
        ledger.claim(uid, claimed_envelope(holding, policy.spec, len(issuer.members), now), now)
    member.brings(holding.grant_sequence)
    if holding.policy_uid == policy.uid:
        member.generation = holding.policy_generation
