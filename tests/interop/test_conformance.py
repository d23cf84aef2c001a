"""One test per rule and status code of WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep, the working group's text of April
2026), told to the server as bytes over HTTP. docs/conformance.md is the table of these tests, and `test_table.py` holds it
to them."""

from collections.abc import Callable, Iterator

import pytest
from conformance import ANSWERED, CANDIDATE, LARGEST_SDP, NEW_CREDENTIALS, ROLES, Site, listed, media_of, raw, rule, site, value
from conftest import serving
from lesson import Lesson
from offers import RID_EXTENSION, Offer, Section, fragment
from signals import Camera, Microphone
from whip import FRAGMENT, SDP, until

__all__ = ["site"]

TURN_SERVERS = ["turn:turn.example.cn:3478?transport=udp", "turns:turn.example.cn:443?transport=tcp"]


# HTTP usage


@rule("4.1", "200", "GET of an endpoint succeeds without content, and needs no token")
def test_get_endpoint(site: Site) -> None:
    site.token = None
    answer = site.call("GET", site.path)
    assert (answer.status, answer.text) == (200, "")


@rule("4.1", "204", "GET of a session succeeds without content")
def test_get_session(site: Site) -> None:
    answer = site.call("GET", site.session().headers["Location"])
    assert (answer.status, answer.text) == (204, "")


@rule("WHEP", "200", "HEAD of an endpoint says Content-Type application/sdp, by which players know it")
def test_head_endpoint(site: Site) -> None:
    site.token = None
    answer = site.call("HEAD", site.path)
    assert (answer.status, answer.headers["Content-Type"], answer.text) == (200, SDP, "")


@rule("4.1", "405", "An endpoint takes no PUT, PATCH or DELETE; Allow says what it takes")
def test_endpoint_methods(site: Site) -> None:
    for method in ("PUT", "PATCH", "DELETE"):
        answer = site.call(method, site.path, "x", Content_Type=SDP)
        assert answer.problem == (405, "method_not_allowed")
        assert {"GET", "HEAD", "POST"} <= listed(answer, "Allow")


@rule("4.1", "405", "A session takes no POST or PUT; Allow says what it takes")
def test_session_methods(site: Site) -> None:
    session = site.session()
    for method in ("POST", "PUT"):
        answer = site.call(method, session.headers["Location"], str(Offer(site.way)), Content_Type=SDP)
        assert answer.problem == (405, "method_not_allowed")
        assert {"GET", "HEAD", "PATCH", "DELETE"} <= listed(answer, "Allow")


@rule("4.1", "4xx", "Every refusal is a whole problem document (RFC 9457)")
def test_problem_documents(site: Site) -> None:
    assert site.post("nonsense").problem == (400, "bad_offer")
    assert site.call("POST", site.path, "{}", Content_Type="application/json").problem == (415, "wrong_content_type")
    assert site.call("DELETE", f"/{site.way}/{site.lesson.id}/c/0123456789abc").problem == (404, "connection_not_found")


@rule("4.1", "404", "A lesson that doesn't exist has no endpoint for anybody's token")
def test_unknown_lesson(site: Site) -> None:
    answer = site.post(path=f"/{site.way}/zzzzzzzzzzzzz/camera")
    assert answer.problem in [(404, "lesson_not_found"), (403, "token_of_another_lesson")]


# Set-up


@rule("4.2", "201", "An offer is answered as application/sdp, with a Location that is the session")
def test_created(site: Site) -> None:
    answer = site.post()
    assert (answer.status, answer.headers["Content-Type"]) == (201, SDP)
    assert answer.text.startswith("v=0\r\n")
    assert answer.headers["Location"].startswith(f"/{site.way}/{site.lesson.id}/c/")
    assert site.call("DELETE", answer.headers["Location"]).status == 200


@rule("4.2", "201", "Session addresses can't be guessed: no two are alike or in a row")
def test_session_addresses(site: Site) -> None:
    addresses = {site.session().headers["Location"].rsplit("/", 1)[1] for _ in range(5)}
    assert len(addresses) == 5 and all(len(address) == 13 for address in addresses)
    assert len({address[:4] for address in addresses}) > 1


@rule("4.2", "415", "Another content type, or none, is refused, and Accept-Post says which is taken")
def test_wrong_content_type(site: Site) -> None:
    for headers in ({"Content_Type": "application/json"}, {"Content_Type": "text/plain"}, {}):
        answer = site.call("POST", site.path, str(Offer(site.way)), **headers)
        assert answer.problem == (415, "wrong_content_type")
        assert answer.headers["Accept-Post"] == SDP


@rule("4.2", "201", "The content type is compared without case and without parameters")
def test_content_type_spelling(site: Site) -> None:
    assert site.post(Content_Type="Application/SDP; charset=utf-8").status == 201


@rule("4.2", "400", "A body that is empty, no text or no session description is refused")
def test_malformed(site: Site) -> None:
    assert site.post("").problem == (400, "bad_request")
    assert site.post("v=0\r\nhello\r\n").problem == (400, "bad_offer")
    assert site.post(str(Offer(site.way)).replace("a=mid:1", "a=mid:0")).problem == (400, "bad_offer")
    assert raw(site, bytes(range(128, 256))).problem == (400, "bad_request")


@rule("4.2", "413", "A body of more than 256 KiB is refused")
def test_too_large(site: Site) -> None:
    assert site.post("x" * (LARGEST_SDP + 1)).problem == (413, "too_large")


@rule("4.2", "201", "The one direction that the protocol is for is answered by its counterpart")
def test_direction(site: Site) -> None:
    for section in media_of(site.session()):
        assert ANSWERED[site.way] in section


@rule("4.2", "201", "sendrecv is taken too, and answered as one way")
def test_both_directions(site: Site) -> None:
    for section in media_of(site.session(Offer(site.way).each(direction="sendrecv"))):
        assert ANSWERED[site.way] in section


@rule("4.2", "422", "The opposite direction and inactive media are refused")
def test_wrong_direction(site: Site) -> None:
    opposite = "recvonly" if site.way == "whip" else "sendonly"
    for direction in (opposite, "inactive"):
        assert site.post(Offer(site.way).each(direction=direction)).problem == (422, "offer_unsatisfiable")


@rule("4.2", "200, 404", "DELETE ends the session; whatever comes after finds nothing")
def test_delete(site: Site) -> None:
    session = site.session()
    location, etag = session.headers["Location"], session.headers["ETag"]
    assert site.call("DELETE", location).status == 200
    assert site.call("DELETE", location).problem == (404, "connection_not_found")
    assert site.patch(session, fragment(CANDIDATE), etag).problem == (404, "connection_not_found")
    assert site.call("GET", location).problem == (404, "connection_not_found")


@rule("4.2", "200", "DELETE closes the DTLS association: the peer hears of it at once")
async def test_delete_tears_down(lesson: Lesson, way: str) -> None:
    publisher = lesson.publish("camera", Microphone(400), Camera(5))
    async with publisher if way == "whip" else lesson.play("camera") as client:
        assert (await client.delete()).status == 200
        await until(lambda: client.closed, "the connection is closed", 3)


@rule("4.2", "200", "OPTIONS says what is taken, with Accept-Post or Accept-Patch, and needs no token")
def test_options(site: Site) -> None:
    location = site.session().headers["Location"]
    site.token = None
    endpoint, session = site.call("OPTIONS", site.path), site.call("OPTIONS", location)
    assert (endpoint.status, endpoint.headers["Accept-Post"], endpoint.text) == (200, SDP, "")
    assert (session.status, session.headers["Accept-Patch"], session.text) == (200, FRAGMENT, "")
    assert "POST" in listed(endpoint, "Allow") and {"PATCH", "DELETE"} <= listed(session, "Allow")


@rule("4.2", "200", "A page of another origin passes the CORS preflight")
def test_preflight(site: Site) -> None:
    location = site.session().headers["Location"]
    site.token = None
    for path, method in ((site.path, "POST"), (location, "PATCH"), (location, "DELETE")):
        answer = site.call("OPTIONS", path, Origin="https://player.example", Access_Control_Request_Method=method)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert method in listed(answer, "Access-Control-Allow-Methods")
        assert {"Authorization", "Content-Type", "If-Match"} <= listed(answer, "Access-Control-Allow-Headers")


@rule("4.2", "201, 4xx", "A page of another origin may read the headers that it needs, and why it was refused")
def test_exposed_headers(site: Site) -> None:
    answer = site.post(Origin="https://player.example")
    assert {"Location", "ETag", "Link", "Retry-After"} <= listed(answer, "Access-Control-Expose-Headers")
    for answer in (answer, site.post("nonsense")):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


# PATCH


@rule("4.3.1", "415", "A PATCH of another type is refused, and Accept-Patch says which is taken")
def test_patch_content_type(site: Site) -> None:
    session = site.session()
    answer = site.patch(session, str(Offer(site.way)), session.headers["ETag"], SDP)
    assert answer.problem == (415, "wrong_content_type")
    assert answer.headers["Accept-Patch"] == FRAGMENT


@rule("4.3.1", "400, 422", "A fragment that is empty or can't be read is refused")
def test_patch_malformed(site: Site) -> None:
    session = site.session()
    etag = session.headers["ETag"]
    assert site.patch(session, "", etag).problem == (400, "bad_request")
    for body in ("hello\r\n", "v=0\r\n", "a=ice-ufrag:EsAw\r\n", "a=mid:0\r\n"):
        assert site.patch(session, body, etag).problem == (422, "fragment_unusable"), body


@rule("4.3.1", "201", "The answer has a strong entity-tag, another for every session")
def test_etag(site: Site) -> None:
    tags = [site.session().headers["ETag"] for _ in range(3)]
    assert all(tag.startswith('"') and tag.endswith('"') and len(tag) > 8 for tag in tags)
    assert len(set(tags)) == 3


@rule("4.3.1", "200", "DELETE ignores If-Match")
def test_delete_ignores_etag(site: Site) -> None:
    session = site.session()
    assert site.call("DELETE", session.headers["Location"], If_Match='"of-yesterday"').status == 200


@rule("4.3.1", "428", "A PATCH without If-Match is refused")
def test_missing_etag(site: Site) -> None:
    assert site.patch(site.session(), fragment(CANDIDATE)).problem == (428, "etag_missing")


@rule("4.3.1", "412", "A PATCH with another entity-tag, or with a weak one, is refused")
def test_stale_etag(site: Site) -> None:
    session = site.session()
    for tag in ('"another"', f"W/{session.headers['ETag']}"):
        assert site.patch(session, fragment(CANDIDATE), tag).problem == (412, "etag_stale"), tag


@rule("4.3.1", "204", "If-Match may list several entity-tags, one of them the session's")
def test_listed_etags(site: Site) -> None:
    session = site.session()
    assert site.patch(session, fragment(CANDIDATE), f'"another", {session.headers["ETag"]}').status == 204


# Trickle ICE


@rule("4.3.2", "201", "An offer without any candidate is answered")
def test_no_candidates(site: Site) -> None:
    assert "candidate" not in str(Offer(site.way))
    site.session()


@rule("4.3.2", "201", "The answer holds every candidate of the server, and says that they are all")
def test_all_candidates(site: Site) -> None:
    first = media_of(site.session())[0]
    assert any(line.startswith("a=candidate:") and " typ host" in line for line in first)
    assert "a=end-of-candidates" in first


@rule("4.3.2", "204", "Trickled candidates are taken without a body and without an ETag")
def test_trickle(site: Site) -> None:
    session = site.session()
    for lines in ([CANDIDATE], [CANDIDATE, "a=end-of-candidates"], ["a=end-of-candidates"]):
        answer = site.patch(session, fragment(*lines), session.headers["ETag"])
        assert (answer.status, answer.text, answer.headers["ETag"]) == (204, "", None)


@rule("4.3.2", "204", "A candidate of an unknown transport, or whose name can't be resolved, is passed over")
def test_unknown_candidates(site: Site) -> None:
    session = site.session()
    strange = [
        "a=candidate:1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active",
        "a=candidate:2 1 carrier-pigeon 1 192.0.2.1 9 typ host",
        "a=candidate:3 1 udp 1 0f5a2c9e-1111-4222-8333-444455556666.local 9 typ host",
        "a=candidate:4 1 udp 1 no-such-host.invalid 9 typ host",
    ]
    assert site.patch(session, fragment(*strange, CANDIDATE), session.headers["ETag"]).status == 204


@rule("4.3.2", "204", "Candidates of an m-line that had credentials of its own are no restart")
def test_trickle_of_a_later_line(site: Site) -> None:
    offer = Offer(site.way)
    offer.sections[1].credentials = list(NEW_CREDENTIALS)
    session = site.session(offer)
    body = fragment(CANDIDATE, credentials=NEW_CREDENTIALS)
    assert site.patch(session, body, session.headers["ETag"]).status == 204


# ICE restarts


@rule("4.3.3", "200", "If-Match * with new credentials restarts ICE: new credentials, candidates and ETag")
def test_restart(site: Site) -> None:
    session = site.session()
    answer = site.patch(session, fragment(CANDIDATE, credentials=NEW_CREDENTIALS), "*")
    assert (answer.status, answer.headers["Content-Type"]) == (200, FRAGMENT)
    assert answer.headers["ETag"] not in (None, session.headers["ETag"])
    for name in ("a=ice-ufrag:", "a=ice-pwd:"):
        assert value(answer.text, name) != value(session.text, name)
    assert value(answer.text, "a=candidate:") == value(session.text, "a=candidate:")
    assert "a=mid:0\r\n" in answer.text


@rule("4.3.3", "200", "The restart repeats ice-lite and ice-options of the answer, and no others")
def test_restart_options(site: Site) -> None:
    for options in (["a=ice-options:trickle ice2"], []):
        offer = Offer(site.way)
        offer.session = options
        session = site.session(offer)
        answer = site.patch(session, fragment(credentials=NEW_CREDENTIALS), "*")
        for name in ("a=ice-lite", "a=ice-options:"):
            said = [line for line in session.text.splitlines() if line.startswith(name)]
            assert [line for line in answer.text.splitlines() if line.startswith(name)] == said


@rule("4.3.3", "200", "New credentials are a restart with the session's entity-tag too")
def test_restart_by_credentials(site: Site) -> None:
    session = site.session()
    answer = site.patch(session, fragment(credentials=NEW_CREDENTIALS), session.headers["ETag"])
    assert answer.status == 200 and answer.headers["ETag"] != session.headers["ETag"]


@rule("4.3.3", "412, 204", "After a restart the old entity-tag is outdated and the new one holds")
def test_etag_after_restart(site: Site) -> None:
    session = site.session()
    restarted = site.patch(session, fragment(credentials=NEW_CREDENTIALS), "*")
    body = fragment(CANDIDATE, credentials=NEW_CREDENTIALS)
    assert site.patch(session, body, session.headers["ETag"]).problem == (412, "etag_stale")
    assert site.patch(session, body, restarted.headers["ETag"]).status == 204


@rule("4.3.3", "422, 204", "A restart that can't be done leaves the session as it was")
def test_failed_restart(site: Site) -> None:
    session = site.session()
    short = fragment(credentials=["a=ice-ufrag:ysXw", "a=ice-pwd:short"])
    assert site.patch(session, short, "*").problem == (422, "fragment_unusable")
    assert site.patch(session, fragment(CANDIDATE), session.headers["ETag"]).status == 204


# WebRTC constraints


@rule("4.4.1", "201", "The answer bundles all media, in the offer's order")
def test_bundle(site: Site) -> None:
    assert "a=group:BUNDLE 0 1\r\n" in site.session().text


@rule("4.4.1", "201", "m-lines that are bundle-only are answered like the others")
def test_bundle_only(site: Site) -> None:
    offer = Offer(site.way)
    offer.sections[1].port = 0
    offer.sections[1].more = ["a=bundle-only"]
    assert len(media_of(site.session(offer))) == 2


@rule("4.4.1", "422", "Media that aren't in one bundle are refused")
def test_no_bundle(site: Site) -> None:
    offer = Offer(site.way)
    offer.bundled = False
    assert site.post(offer).problem == (422, "offer_unsatisfiable")


@rule("4.4.1", "201", "The answer multiplexes RTP and RTCP, and says rtcp-mux-only")
def test_mux_only(site: Site) -> None:
    for section in media_of(site.session()):
        assert "a=rtcp-mux" in section and "a=rtcp-mux-only" in section


@rule("4.4.1", "422", "An offer without rtcp-mux is refused")
def test_no_mux(site: Site) -> None:
    assert site.post(Offer(site.way).each(mux=False)).problem == (422, "offer_unsatisfiable")


@rule("4.4.2", "422", "Two tracks of a kind for one source are refused, not half taken")
def test_two_of_a_kind(site: Site) -> None:
    offer = Offer(site.way)
    offer.sections.append(Section("video", "2", offer.sections[1].direction))
    assert site.post(offer).problem == (422, "offer_unsatisfiable")


@rule("4.4.2", "201", "Voice alone and picture alone are taken")
def test_one_kind(site: Site) -> None:
    for kept in (0, 1):
        offer = Offer(site.way)
        offer.sections = [offer.sections[kept]]
        assert len(media_of(site.session(offer))) == 1


@rule("WHEP", "201", "Every m-line of an answer names its MediaStream", ("whep",))
def test_msid(site: Site) -> None:
    streams = {line.split()[0] for section in media_of(site.session()) for line in section if line.startswith("a=msid:")}
    assert len(streams) == 1, "voice and picture of one source play in sync"


@rule("4.4.3", "422", "There are no partial answers: one m-line that can't be met refuses all")
def test_no_partial_answers(site: Site) -> None:
    for kept, codecs in ((0, ["0 PCMU/8000"]), (1, ["98 VP9/90000"])):
        offer = Offer(site.way)
        offer.sections[kept].codecs = codecs
        answer = site.post(offer)
        assert answer.problem == (422, "offer_unsatisfiable")
        assert codecs[0].split()[1].split("/")[0].lower() in answer.json["detail"].lower(), "it says what was offered"


@rule("4.4.4", "201", "setup actpass and active are answered with passive")
def test_setup(site: Site) -> None:
    for setup in ("actpass", "active"):
        for section in media_of(site.session(Offer(site.way).each(setup=setup))):
            assert "a=setup:passive" in section


@rule("4.4.4", "422", "setup passive is refused: this end is the DTLS server")
def test_setup_passive(site: Site) -> None:
    assert site.post(Offer(site.way).each(setup="passive")).problem == (422, "offer_unsatisfiable")


@rule("4.4.4", "422", "A certificate without a SHA-256 fingerprint is refused")
def test_fingerprint(site: Site) -> None:
    sha1 = "a=fingerprint:sha-1 " + ":".join(["AB"] * 20)
    for lines in ("", sha1):
        assert site.post(Offer(site.way).each(fingerprint=lines)).problem == (422, "offer_unsatisfiable")


@rule("4.4.5", "201, 422", "The server is ICE-lite and says so; a client has to be a full agent")
def test_ice_lite(site: Site) -> None:
    assert "a=ice-lite\r\n" in site.session().text
    offer = Offer(site.way)
    offer.session.append("a=ice-lite")
    assert site.post(offer).problem == (422, "offer_unsatisfiable")


@rule("4.4.5", "400", "ICE credentials that are missing or too short are refused")
def test_ice_credentials(site: Site) -> None:
    for credentials in ([], ["a=ice-ufrag:EsAw", "a=ice-pwd:short"]):
        assert site.post(Offer(site.way).each(credentials=credentials)).problem == (400, "bad_offer")


# Load, servers, tokens


@rule("4.5", "503", "A full server says when to come back, in Retry-After")
def test_full(full_server: tuple[str, str], way: str) -> None:
    lesson = Lesson(*full_server)
    lesson.start()
    site = Site(lesson, way, lesson.tokens[ROLES[way]])
    answers = [site.post() for _ in range(3)]
    assert answers[0].status == 201
    assert answers[-1].problem == (503, "busy")
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert site.call("DELETE", answers[0].headers["Location"]).status == 200
    again = site.session()
    assert site.call("DELETE", again.headers["Location"]).status == 200, "there was a place again"


@rule("4.5", "404", "A POST is never redirected: an address with a slash too many is none")
def test_no_redirect(site: Site) -> None:
    assert site.post(path=site.path + "/").status == 404


@rule("4.6", "201", "Without servers of the operator's there is no Link, and no extension is needed")
def test_no_links(site: Site) -> None:
    assert site.session().headers["Link"] is None
    assert site.call("OPTIONS", site.path).headers["Link"] is None


@rule("4.6", "200, 201", "With TURN servers of the operator's, each has a Link with credentials, for whoever is admitted")
def test_links(relayed: Lesson, way: str) -> None:
    site = Site(relayed, way, relayed.tokens[ROLES[way]])
    for answer in (site.call("OPTIONS", site.path), site.session()):
        links = answer.headers.get_all("Link")
        assert len(links) == 2
        for link, server in zip(links, TURN_SERVERS, strict=True):
            target, *parameters = link.split("; ")
            assert target == f"<{server}>"
            assert [parameter.split("=")[0] for parameter in parameters] == ["rel", "username", "credential", "credential-type"]
    site.token = None
    assert site.call("OPTIONS", site.path).headers["Link"] is None
    assert site.post().headers["Link"] is None


@rule("4.7", "401", "Without a token, or with one that isn't good, WWW-Authenticate asks for a Bearer token")
def test_unauthorised(site: Site) -> None:
    for token, code in ((None, "token_missing"), ("nonsense", "token_invalid")):
        site.token = token
        answer = site.post()
        assert answer.problem == (401, code)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@rule("4.7", "401", "The session asks for the token too")
def test_unauthorised_session(site: Site) -> None:
    session = site.session()
    site.token = None
    assert site.patch(session, fragment(CANDIDATE), session.headers["ETag"]).problem == (401, "token_missing")
    assert site.call("DELETE", session.headers["Location"]).problem == (401, "token_missing")


@rule("4.7", "201", "The scheme's name is read without case, as RFC 9110 has it")
def test_bearer_spelling(site: Site) -> None:
    token, site.token = site.token, None
    assert site.post(Authorization=f"bearer {token}").status == 201


@rule("4.7", "403", "A good token of another lesson or without the permission opens nothing")
def test_forbidden(site: Site, new_lesson: Callable[[], Lesson]) -> None:
    site.token = new_lesson().tokens[ROLES[site.way]]
    assert site.post().problem == (403, "token_of_another_lesson")
    if site.way == "whip":
        site.token = site.lesson.tokens["classroom"]
        assert site.post(path=site.lesson.path("whip", "slides")).problem == (403, "source_not_allowed")


@rule("4.7", "404", "A session is nothing to who didn't open it")
def test_session_of_another(site: Site) -> None:
    site.token = site.lesson.join("classroom")["token"]
    session = site.session()
    site.token = site.lesson.join("classroom")["token"]
    assert site.call("DELETE", session.headers["Location"]).problem == (404, "connection_not_found")
    assert site.patch(session, fragment(CANDIDATE), session.headers["ETag"]).problem == (404, "connection_not_found")


@rule("4.8", "201", "Simulcast is answered with the encodings that are received", ("whip",))
def test_simulcast(site: Site) -> None:
    answer = site.session(simulcast(3))
    video = media_of(answer)[1]
    assert "a=simulcast:recv 0;1;2" in video
    assert [f"a=rid:{rid} recv" in video for rid in range(3)] == [True] * 3


@rule("4.8", "422", "More encodings than are received are refused", ("whip",))
def test_too_many_encodings(site: Site) -> None:
    assert site.post(simulcast(4)).problem == (422, "offer_unsatisfiable")


@rule("WHEP", "409", "A lesson that has not begun says when to come back, in Retry-After", ("whep",))
def test_not_live(new_lesson: Callable[[], Lesson], way: str) -> None:
    lesson = new_lesson()
    answer = Site(lesson, way, lesson.tokens["classroom"]).post()
    assert answer.problem == (409, "lesson_not_live")
    assert int(answer.headers["Retry-After"]) >= 1


@rule("WHEP", "409", "A lesson that has ended is refused, and nobody is asked to come back")
def test_ended(site: Site) -> None:
    site.lesson.end()
    answer = site.post()
    assert answer.problem == (409, "lesson_ended")
    assert answer.headers["Retry-After"] is None


@rule("WHEP", "201", "A player may come before there is anything to see", ("whep",))
def test_player_first(site: Site) -> None:
    assert site.post(path=site.lesson.path("whep", "not-there-yet")).status == 201


@rule("WHEP", "422", "An offer that can't be met gets the reason, not a counter-offer (406)", ("whep",))
def test_no_counter_offer(site: Site) -> None:
    offer = Offer(site.way)
    offer.sections[1].codecs = ["98 VP9/90000"]
    answer = site.post(offer)
    assert answer.problem == (422, "offer_unsatisfiable")
    assert answer.headers["Location"] is None


@pytest.fixture(scope="module")
def full_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server with one worker that takes one connection."""
    limits = {"MINGSHI_MEDIA_WORKERS": "1", "MINGSHI_MEDIA_MAX_CONNECTIONS_PER_WORKER": "1"}
    with serving(tmp_path_factory.mktemp("full"), limits) as running:
        yield running


@pytest.fixture(scope="module")
def relayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lesson]:
    """A lesson on air on a server that knows TURN servers."""
    turn = {"MINGSHI_TURN_URLS": ",".join(TURN_SERVERS), "MINGSHI_TURN_SECRET": "shared"}
    with serving(tmp_path_factory.mktemp("relayed"), turn) as running:
        lesson = Lesson(*running)
        lesson.start()
        yield lesson


def simulcast(encodings: int) -> Offer:
    """A publisher of so many encodings."""
    rids = [str(rid) for rid in range(encodings)]
    offer = Offer("whip")
    offer.sections[1].more = [RID_EXTENSION, *(f"a=rid:{rid} send" for rid in rids), f"a=simulcast:send {';'.join(rids)}"]
    return offer
