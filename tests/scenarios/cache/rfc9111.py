"""What RFC 9111 asks of a shared cache, as a table of conversations.

`python3 -m cache.rfc9111 <address> <port> <host name> <CA file or ''>`, run by the client, prints {must, problems}:
how many cases the RFC requires, and for each case what is wrong, or an empty text. All run at once, so the whole takes
as long as the longest wait.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cache.conversation import Case, Client, Step


def answer(control: str = "", status: int = 200, **headers: str) -> dict[str, Any]:
    """Return an answer of the origin, dated now: header names with _ for -; `control` is its Cache-Control."""
    given = {"Date": "{now}"} | ({"Cache-Control": control} if control else {})
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return {"status": status, "headers": [[name, value] for name, value in given.items() if value]}


ORIGIN, CACHE = Step("origin"), Step("cache")
HOUR, OLD = "max-age=3600", "{now-100000}"


def kept(section: str, name: str, *answers: dict[str, Any], **request: str) -> Case:
    """Return a case whose answer may be kept, and is."""
    first, again = Step("origin", headers=request), Step("cache", headers=request)
    return Case(section, f"{name}: kept", list(answers), [first, again], optional=True)


def not_kept(section: str, name: str, *answers: dict[str, Any], **request: str) -> Case:
    """Return a case whose answer must not be kept."""
    headers = {key.replace("_", "-"): value for key, value in request.items()}
    return Case(section, f"{name}: not kept", list(answers), [Step("origin", headers=headers), ORIGIN])


def storing() -> list[Case]:
    """Return what may be kept at all. RFC 9111, 3."""
    never = [
        ("no-store", answer("no-store, max-age=3600")),
        ("NO-STORE in capitals", answer("NO-STORE, max-age=3600")),
        ("no-store after a blankless comma", answer("max-age=3600,no-store")),
        ("private", answer("private, max-age=3600")),
        ("private with fields", answer('private="x", max-age=3600')),
        ("no-cache", answer("no-cache, max-age=3600")),
        ("no-cache beside s-maxage", answer("s-maxage=3600, no-cache")),
        ("CDN-Cache-Control: no-store", answer(HOUR, CDN_Cache_Control="no-store")),
        ("CDN-Cache-Control: private", answer(HOUR, CDN_Cache_Control="private")),
        ("Set-Cookie", answer(HOUR, Set_Cookie="id=1")),
        ("Set-Cookie beside public", answer("public, max-age=3600", Set_Cookie="id=1")),
        ("neither lifetime nor validator", answer()),
        ("an ETag alone", answer(ETag='"1"')),
        ("public alone", answer("public")),
        ("a partial answer", answer(HOUR, status=206, Content_Range="bytes 0-1/9")),
        ("must-understand beside no-store", answer("must-understand, no-store, max-age=3600")),
        ("a status that has no heuristic lifetime (201)", answer(status=201, Last_Modified=OLD)),
        ("a status that has no heuristic lifetime (302)", answer(status=302, Last_Modified=OLD)),
        ("a status that has no heuristic lifetime (403)", answer(status=403, Last_Modified=OLD)),
        ("a status that has no heuristic lifetime (500)", answer(status=500, Last_Modified=OLD)),
        ("a Last-Modified of just now", answer(Last_Modified="{now-5}")),
        ("a Last-Modified that is no date", answer(Last_Modified="yesterday")),
    ]
    cases = [not_kept("3", name, entry) for name, entry in never]
    cases.append(
        Case(
            "3",
            "an incomplete answer: not kept",
            [answer(HOUR) | {"fault": "truncate"}, answer(HOUR)],
            [Step(), Step("origin", body="answer 2\n")],
        )
    )
    cases.append(not_kept("5.2.1.5", "a request with no-store", answer(HOUR), Cache_Control="no-store"))
    cases.append(Case("3", "an answer to POST: not kept for GET", [answer(HOUR)], [Step("origin", "POST"), ORIGIN]))
    cases.append(Case("3", "an answer to OPTIONS: not kept", [answer(HOUR)], [Step("origin", "OPTIONS"), ORIGIN]))
    cases += [
        kept("3", "max-age", answer(HOUR)),
        kept("3", "s-maxage", answer("s-maxage=3600")),
        kept("3", "Expires", answer(Expires="{now+3600}")),
        kept("3", "an old Last-Modified", answer(Last_Modified=OLD)),
        kept("3", "404 with max-age", answer(HOUR, status=404)),
        kept("3", "302 with max-age", answer(HOUR, status=302, Location="/")),
        kept("3", "308 with an old Last-Modified", answer(status=308, Last_Modified=OLD, Location="/")),
        kept("3", "500 with max-age", answer(HOUR, status=500)),
        kept("3", "a status nobody knows, with max-age", answer(HOUR, status=599)),
    ]
    return cases


def credentials() -> list[Case]:
    """Return what becomes of answers to requests with Authorization. RFC 9111, 3.5."""
    who = {"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}
    shared = ("public, max-age=3600", "s-maxage=3600", "max-age=3600, must-revalidate")
    return [
        not_kept("3.5", "Authorization", answer(HOUR), **who),
        not_kept("3.5", "Authorization and Expires", answer(Expires="{now+3600}"), **who),
        not_kept("3.5", "Authorization and Last-Modified", answer(Last_Modified=OLD), **who),
        not_kept(
            "3.5", "Authorization, with a word that only looks like public", answer("publicity, max-age=3600"), **who
        ),
        not_kept("3.5", "Authorization and proxy-revalidate", answer("max-age=3600, proxy-revalidate"), **who),
        *[kept("3.5", f"Authorization and {control}", answer(control), **who) for control in shared],
    ]


def freshness() -> list[Case]:
    """Return how long answers are used. RFC 9111, 4.2."""
    stale = [
        ("max-age=0", answer("max-age=0")),
        ("s-maxage=0 beside max-age", answer("s-maxage=0, max-age=3600")),
        ("a max-age that is no number", answer("max-age=later")),
        ("a negative max-age", answer("max-age=-1")),
        ("a max-age with letters behind it", answer("max-age=3600x")),
        ("a quoted max-age=0", answer('max-age="0"')),
        ("two max-age, one of them 0", answer("max-age=3600, max-age=0")),
        ("max-age inside another directive's text", answer('x="max-age=3600"')),
        ("a directive that ends in max-age", answer("x-max-age=3600")),
        ("a directive that ends in s-maxage", answer("xs-maxage=3600")),
        ("Expires in the past", answer(Expires="{now-60}")),
        ("Expires equal to Date", answer(Expires="{now}")),
        ("Expires not after a Date that is ahead", answer(Expires="{now+3600}", Date="{now+7200}")),
        ("Expires: 0", answer(Expires="0")),
        ("Expires: -1", answer(Expires="-1")),
        ("Expires that is no date", answer(Expires="soon", Last_Modified=OLD)),
        ("max-age=0 beside Expires", answer("max-age=0", Expires="{now+3600}")),
        ("an Age beyond max-age", answer(HOUR, Age="7200")),
        ("an Age equal to max-age", answer(HOUR, Age="3600")),
        ("an Age of half of max-age", answer(HOUR, Age="1800")),
        ("an Age list beyond max-age", answer(HOUR, Age="7200, 0")),
        ("an Age beyond Expires", answer(Expires="{now+3600}", Age="7200")),
        ("a Date so old that max-age has gone by", answer(HOUR, Date="{now-7200}")),
    ]
    cases = [not_kept("4.2", name, entry) for name, entry in stale]
    fresh = [
        ("max-age beside Expires in the past", answer(HOUR, Expires="{now-60}")),
        ("max-age beside Expires that is no date", answer(HOUR, Expires="0")),
        ("s-maxage beside max-age=0", answer("max-age=0, s-maxage=3600")),
        ("Max-Age in capitals", answer("MAX-AGE=3600")),
        ("a directive nobody knows beside max-age", answer("foo=bar, max-age=3600")),
        ("leading zeros in max-age", answer("max-age=003600")),
        ("a max-age beyond 32 bits", answer("max-age=9999999999")),
        ("Expires in RFC 850's form", answer(Expires="{rfc850+3600}")),
        ("Expires in asctime's form", answer(Expires="{asctime+3600}")),
        ("an Age that is no number", answer(HOUR, Age="old")),
        ("a small Age", answer(HOUR, Age="30")),
        ("Pragma: no-cache in the answer", answer(HOUR, Pragma="no-cache")),
    ]
    cases += [kept("4.2", name, entry) for name, entry in fresh]
    short = [
        ("max-age", answer("max-age=1")),
        ("s-maxage", answer("s-maxage=1, max-age=3600")),
        ("Expires", answer(Expires="{now+1}")),
    ]
    for name, entry in short:
        cases.append(Case("4.2", f"{name} of a second: over after two", [entry], [ORIGIN, Step("origin", wait=2.1)]))
    cases.append(
        Case(
            "4.2.4",
            "stale and must-revalidate, the origin gone: an error",
            [answer("max-age=1, must-revalidate"), {"fault": "close"}],
            [ORIGIN, Step(status=502, wait=2.1)],
        )
    )
    cases.append(
        Case(
            "4.2.4",
            "stale and s-maxage, the origin gone: an error",
            [answer("s-maxage=1"), {"fault": "close"}],
            [ORIGIN, Step(status=502, wait=2.1)],
        )
    )
    cases.append(
        Case(
            "4.2.4",
            "stale and proxy-revalidate, the origin answers 503: 503",
            [answer("max-age=1, proxy-revalidate"), answer(status=503)],
            [ORIGIN, Step(status=503, wait=2.1)],
        )
    )
    cases.append(
        Case(
            "RFC 5861, 4",
            "stale-if-error, the origin gone: the stale answer",
            [answer("max-age=1, stale-if-error=600"), {"fault": "close"}],
            [ORIGIN, Step("cache", status=200, wait=2.1)],
            optional=True,
        )
    )
    cases.append(
        Case(
            "RFC 5861, 3",
            "stale-while-revalidate: the stale answer, then the new one",
            [answer("max-age=1, stale-while-revalidate=600")],
            [ORIGIN, Step("cache", wait=2.1), Step(body="answer 2\n", wait=0.5)],
            optional=True,
        )
    )
    return cases


def ages() -> list[Case]:
    """Return what Age and Date must say. RFC 9111, 4 and 5.1."""
    return [
        Case(
            "5.1",
            "an answer from the cache has its Age",
            [answer(HOUR)],
            [ORIGIN, Step("cache", wait=1.2, age=(1, 3))],
        ),
        Case(
            "5.1",
            "Age counts from what the origin's cache said",
            [answer(HOUR, Age="30")],
            [Step("origin", age=(30, 30)), Step("cache", age=(30, 33))],
        ),
        Case(
            "5.1",
            "Age counts from the origin's Date",
            [answer(HOUR, Date="{now-60}")],
            [ORIGIN, Step("cache", age=(60, 63))],
        ),
        Case(
            "5.1",
            "an Age that is no number is not passed on as the cache's",
            [answer(HOUR, Age="old")],
            [ORIGIN, Step("cache", age=(0, 3))],
        ),
        Case(
            "4",
            "Date stays the origin's",
            [answer(HOUR, Date="Sun, 06 Nov 2050 08:49:37 GMT")],
            [ORIGIN, Step("cache", has={"Date": "Sun, 06 Nov 2050 08:49:37 GMT"})],
        ),
    ]


def keys() -> list[Case]:
    """Return which requests an answer fits. RFC 9111, 4 and 4.1."""
    english, german = {"Accept-Language": "en"}, {"Accept-Language": "de"}
    vary = answer(HOUR, Vary="Accept-Language")
    both = answer(HOUR, Vary="Accept-Language, X-Plan")
    return [
        Case("4", "another query: another answer", [answer(HOUR)], [ORIGIN, Step("origin", query="?a=1"), CACHE]),
        not_kept("4.1", "Vary: *", answer(HOUR, Vary="*")),
        not_kept("4.1", "Vary with * among names", answer(HOUR, Vary="Accept-Language, *")),
        Case(
            "4.1",
            "another value of what Vary names: another answer",
            [vary],
            [Step("origin", headers=english), Step("origin", headers=german), Step("cache", headers=english)],
        ),
        Case("4.1", "without what Vary names: another answer", [vary], [Step("origin", headers=english), ORIGIN]),
        Case(
            "4.1",
            "one of two names in Vary differs: another answer",
            [both],
            [Step("origin", headers=english), Step("origin", headers={**english, "X-Plan": "gold"})],
        ),
        Case(
            "4.1",
            "Vary in small letters",
            [answer(HOUR, Vary="accept-language")],
            [Step("origin", headers=english), Step("origin", headers=german)],
        ),
        Case(
            "4.1",
            "the same value again: kept",
            [vary],
            [Step("origin", headers=english), Step("cache", headers=english)],
            optional=True,
        ),
        Case(
            "4",
            "HEAD from a kept GET: kept, without a body",
            [answer(HOUR)],
            [ORIGIN, Step("cache", "HEAD", status=200, body="")],
            optional=True,
        ),
        Case(
            "5.2.1",
            "a client's no-cache does not empty the cache for others",
            [answer(HOUR)],
            [ORIGIN, Step("cache", headers={"Cache-Control": "no-cache"})],
            optional=True,
        ),
    ]


def conditions() -> list[Case]:
    """Return how conditions and ranges are answered. RFC 9110, 13 and 14; RFC 9111, 4.3."""
    tagged = answer(HOUR, ETag='"one"', Last_Modified="Sun, 06 Nov 1994 08:49:37 GMT")
    late, early = "Mon, 07 Nov 1994 08:49:37 GMT", "Sat, 05 Nov 1994 08:49:37 GMT"
    validated = answer("max-age=1", ETag='"one"')

    def conditional(name: str, status: int, section: str = "4.3.2", **headers: str) -> Case:
        given = {key.replace("_", "-"): value for key, value in headers.items()}
        return Case(section, name, [tagged], [ORIGIN, Step("cache", headers=given, status=status)])

    return [
        conditional("If-None-Match with the kept ETag: 304", 304, If_None_Match='"one"'),
        conditional("If-None-Match with it, weak: 304", 304, If_None_Match='W/"one"'),
        conditional("If-None-Match with it in a list: 304", 304, If_None_Match='"zero", "one"'),
        conditional("If-None-Match: *: 304", 304, If_None_Match="*"),
        conditional("If-None-Match with another ETag: 200", 200, If_None_Match='"two"'),
        conditional("If-Modified-Since of the same time: 304", 304, If_Modified_Since="Sun, 06 Nov 1994 08:49:37 GMT"),
        conditional("If-Modified-Since later: 304", 304, If_Modified_Since=late),
        conditional("If-Modified-Since earlier: 200", 200, If_Modified_Since=early),
        conditional(
            "another ETag, though If-Modified-Since fits: 200", 200, If_None_Match='"two"', If_Modified_Since=late
        ),
        conditional("a range: 206", 206, "RFC 9110, 14.2", Range="bytes=0-2"),
        conditional("a range beyond the end: 416", 416, "RFC 9110, 14.2", Range="bytes=900-"),
        conditional(
            "a range and If-Range with the kept ETag: 206", 206, "RFC 9110, 13.1.5", Range="bytes=0-2", If_Range='"one"'
        ),
        conditional(
            "a range and If-Range with another ETag: 200", 200, "RFC 9110, 13.1.5", Range="bytes=0-2", If_Range='"two"'
        ),
        Case(
            "4.3.1",
            "stale with an ETag: asked with If-None-Match",
            [validated],
            [ORIGIN, Step("origin", wait=2.1, has={"Origin-Saw": 'If-None-Match="one"'})],
            optional=True,
        ),
        Case(
            "4.3.3",
            "304: the kept body, with status 200",
            [validated, answer("max-age=1", status=304, ETag='"one"')],
            [ORIGIN, Step(status=200, wait=2.1, body="answer 1\n")],
        ),
        Case(
            "4.3.3",
            "304: fresh again, its Age counted anew",
            [validated, answer("max-age=60", status=304, ETag='"one"')],
            [ORIGIN, Step(wait=2.1, age=(0, 1)), Step("cache", age=(0, 1), body="answer 1\n")],
        ),
        Case(
            "4.3.3",
            "200 to the question: the new answer",
            [validated, answer("max-age=1", ETag='"two"')],
            [ORIGIN, Step("origin", wait=2.1, body="answer 2\n")],
        ),
        Case(
            "4.3.3", "503 to the question: 503", [validated, answer(status=503)], [ORIGIN, Step(status=503, wait=2.1)]
        ),
        Case(
            "4.3.1",
            "a visitor's condition does not reach the origin",
            [tagged],
            [Step("origin", headers={"If-None-Match": '"zero"'}, status=200, has={"Origin-Saw": ""}), CACHE],
        ),
    ]


def unsafe() -> list[Case]:
    """Return what writing requests do to what is kept. RFC 9111, 4.4."""
    cases = [
        Case(
            "4.4",
            f"{method} that succeeds: forgotten",
            [answer(HOUR)],
            [ORIGIN, CACHE, Step("origin", method), Step("origin", body="answer 3\n")],
        )
        for method in ("POST", "PUT", "DELETE", "PATCH")
    ]
    results = [("204", answer(status=204)), ("303", answer(status=303, Location="/"))]
    for name, result in results:
        cases.append(
            Case(
                "4.4",
                f"POST answered {name}: forgotten",
                [answer(HOUR), result, answer(HOUR)],
                [ORIGIN, CACHE, Step("origin", "POST"), ORIGIN],
            )
        )
    cases.append(
        Case(
            "4.4",
            "POST answered 500: kept",
            [answer(HOUR), answer(status=500), answer(HOUR)],
            [ORIGIN, Step("origin", "POST", status=500), CACHE],
            optional=True,
        )
    )
    return cases


def hops() -> list[Case]:
    """Return what must not be kept of an answer. RFC 9111, 3.1."""
    named = answer(HOUR, Connection="keep-alive, X-Hop, X-Other", X_Hop="1", X_Other="2", X_Stays="3")
    gone = {"X-Hop": "", "X-Other": "", "X-Stays": "3"}
    proxy = answer(HOUR, Proxy_Authenticate="Basic", Proxy_Authentication_Info="x", Proxy_Connection="close", TE="x")
    names = dict.fromkeys(["Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Connection", "TE"], "")
    return [
        Case(
            "3.1",
            "headers that Connection names: taken off",
            [named],
            [Step("origin", has=gone), Step("cache", has=gone)],
        ),
        Case("3.1", "headers for proxies: not from the cache", [proxy], [ORIGIN, Step("cache", has=names)]),
        Case(
            "3.1",
            "headers nobody knows: kept",
            [answer(HOUR, X_Unknown="7")],
            [ORIGIN, Step("cache", has={"X-Unknown": "7"})],
        ),
    ]


def cases() -> list[Case]:
    """Return the whole table."""
    groups = (storing, credentials, freshness, ages, keys, conditions, unsafe, hops)
    return [case for group in groups for case in group()]


if __name__ == "__main__":
    client = Client(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
    table = cases()
    with ThreadPoolExecutor(40) as pool:
        problems = list(pool.map(client.hold, table))
    reported = {f"{case.section} {case.name}": problem for case, problem in zip(table, problems, strict=True)}
    json.dump({"must": sum(not case.optional for case in table), "problems": reported}, sys.stdout)
