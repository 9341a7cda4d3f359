"""Links among members: the mesh's gaps, questions that go on, and what counts as use (spec/08-roles.md)."""

from __future__ import annotations

from tests.homes import Homes, answers, hand
from tests.network import START
from tests.subnets import descriptor, founded
from tom_ref import codec, constants
from tom_ref.codec import AnyFrame
from tom_ref.crypto import Entropy
from tom_ref.drivers.system import DeterministicEntropy
from tom_ref.effects import CloseLink, Dial, Effect, SendFrame
from tom_ref.frames import Address, DescriptorAnswer, DescriptorQuery, Transport
from tom_ref.inputs import (
    AddPeer,
    Begin,
    DialFailed,
    FrameReceived,
    JoinSubnet,
    LinkDown,
    LinkUp,
    Start,
    Wake,
)
from tom_ref.node import Node
from tom_ref.term import own_heartbeat
from tom_ref.timing import Timing

SUBNET = founded(12, Timing())
RECORD = SUBNET.record


def member() -> Node:
    """The first founder, which knows nobody's address."""
    entropy: Entropy = DeterministicEntropy(bytes(32))
    node = Node(SUBNET.nodes[0], entropy=entropy, now=START)
    node.step(Start(), START)
    node.step(Begin(SUBNET.genesis), START)
    return node


def dialled(effects: tuple[Effect, ...]) -> set[bytes]:
    """Whom a step dials."""
    return {effect.node_id for effect in effects if isinstance(effect, Dial)}


def order(node: Node) -> tuple[bytes, ...]:
    """The other members from the node's own place on."""
    roles = node.home.roles
    assert roles is not None
    place = roles.ring.index(node.node_id)
    return (*roles.ring[place + 1 :], *roles.ring[:place])


def carrying(effects: tuple[Effect, ...], frame: AnyFrame) -> set[int]:
    """The links over which a step sends this frame."""
    data = codec.encode_frame(frame)
    return {effect.link for effect in effects if isinstance(effect, SendFrame) and effect.data == data}


def tick(node: Node) -> tuple[Effect, ...]:
    """The next look at the mesh."""
    node._now += RECORD.slot_ms
    return node.step(Wake(), node._now)


def test_gaps_of_the_mesh_are_filled() -> None:
    """TOM-ROLES-135: with those that can be reached, in turn, as many as are lacking."""
    node = member()
    roles = node.home.roles
    assert roles is not None
    assert not dialled(tick(node))
    mesh = roles.mesh(node.node_id)
    others = [peer for peer in order(node) if peer not in mesh]
    assert len(others) > len(mesh)
    for peer in others:
        node.step(AddPeer(peer, (Address(Transport.MEMORY, "x"),)), node._now)
    first = dialled(tick(node))
    assert len(first) == len(mesh)
    assert first < set(others)
    for peer in first:
        node.step(DialFailed(peer), node._now)
    # Who doesn't answer doesn't stand in the way of the others.
    assert first | dialled(tick(node)) == set(others)


def test_a_full_mesh_needs_no_substitutes() -> None:
    """TOM-ROLES-135: as many links as the mesh names are enough; without an address nobody is reached."""
    node = member()
    roles = node.home.roles
    assert roles is not None
    by_id = {one.node_id: one for one in SUBNET.nodes}
    linked = order(node)[: len(roles.mesh(node.node_id))]
    for link, peer in enumerate(linked):
        node.step(LinkUp(link, descriptor(by_id[peer], START), initiated=False), node._now)
    spare = [peer for peer in order(node) if peer not in {*linked, *roles.mesh(node.node_id)}]
    node.step(AddPeer(spare[0], (Address(Transport.MEMORY, "x"),)), node._now)
    node.step(AddPeer(spare[1], ()), node._now)
    assert not dialled(tick(node))
    node.step(LinkDown(0, "gone"), node._now)
    assert dialled(tick(node)) == {spare[0]}


def test_a_guest_looks_for_no_substitutes() -> None:
    """TOM-ROLES-135: it has no part in the mesh."""
    net = Homes("A", "B", "C", "D", "E")
    net.form("A", "B", "D", "E")
    net.do("C", JoinSubnet(net.invite("A")))
    net.run()
    roles = net["C"].node.home.roles
    assert roles is not None
    assert net["C"].id not in roles.members
    for name in list(net["C"].links):
        net.cut("C", name)
    for name in "ABDE":
        net["C"].node.step(AddPeer(net[name].id, (Address(Transport.MEMORY, name),)), net.now)
    assert net["C"].node._substitutes(roles) == ()


def test_gossip_is_no_use_of_a_link() -> None:
    """TOM-ROLES-131: a link outside the mesh that carries nothing else is closed; one in use is kept."""
    node = member()
    roles = node.home.roles
    assert roles is not None
    by_id = {one.node_id: one for one in SUBNET.nodes}
    meshed = roles.meshed(node.node_id)
    outside = [peer for peer in order(node) if peer not in meshed]
    for link, peer in enumerate((*sorted(meshed), *outside[:2])):
        node.step(LinkUp(link, descriptor(by_id[peer], START), initiated=False), node._now)
    term = node.home.term
    assert term is not None
    idle, used = len(meshed), len(meshed) + 1
    closed: set[int] = set()
    for number in range(constants.LINK_IDLE // RECORD.slot_ms + 1):
        # The same heartbeats over the one link, a question of its own over the other.
        who = SUBNET.nodes[1 + number % 11]
        beat = codec.encode_frame(own_heartbeat(RECORD, term.present, who.node_id, who.signing_key))
        node.step(FrameReceived(idle, beat), node._now)
        query = codec.encode_frame(DescriptorQuery(node.node_id))
        node.step(FrameReceived(used, query), node._now)
        closed |= {effect.link for effect in tick(node) if isinstance(effect, CloseLink)}
    assert closed == {idle}


def test_a_question_goes_on_until_somebody_knows() -> None:
    """TOM-ROLES-134: with no neighbour that the mesh links to the one wanted, all are asked, once."""
    node = member()
    roles = node.home.roles
    assert roles is not None
    by_id = {one.node_id: one for one in SUBNET.nodes}
    wanted = next(peer for peer in order(node) if len(set(order(node)) - roles.meshed(peer) - {peer}) >= 3)
    asker, *others = [peer for peer in order(node) if peer not in {wanted, *roles.meshed(wanted)}][:3]
    for link, peer in enumerate((asker, *others)):
        node.step(LinkUp(link, descriptor(by_id[peer], START), initiated=False), node._now)
    node._now += 10_000
    query = codec.encode_frame(DescriptorQuery(wanted))
    asked = node.step(FrameReceived(0, query), node._now)
    assert carrying(asked, DescriptorQuery(wanted)) == {1, 2}
    again = node.step(FrameReceived(1, query), node._now + 1_000)
    assert DescriptorQuery(wanted) not in answers(again)
    found = codec.encode_frame(DescriptorAnswer(wanted, descriptor(by_id[wanted], START)))
    told = node.step(FrameReceived(2, found), node._now + 1_500)
    assert carrying(told, codec.decode_frame(found)) == {0, 1}


def test_a_question_without_other_neighbours_ends() -> None:
    """TOM-ROLES-134: nobody is asked back."""
    node = member()
    by_id = {one.node_id: one for one in SUBNET.nodes}
    asker, wanted = order(node)[0], order(node)[-1]
    node.step(LinkUp(0, descriptor(by_id[asker], START), initiated=False), node._now)
    asked = node.step(FrameReceived(0, codec.encode_frame(DescriptorQuery(wanted))), node._now)
    assert answers(asked) == [DescriptorAnswer(wanted, None)]


def test_the_wish_for_a_stranger_goes_nowhere() -> None:
    """TOM-ROLES-134: only fellow members are asked for on another's behalf."""
    net = Homes("A", "B", "C")
    net.form("A", "B", "C")
    assert answers(hand(net, "A", "B", DescriptorQuery(b"s" * 32))) == [DescriptorAnswer(b"s" * 32, None)]
