"""Coming in, going out, and nothing that another site asks for in somebody's name."""

from typing import Any

import pytest
from parvis_kit.testing.waiting import until
from yarl import URL

POLICY = {"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"}


async def test_whoever_is_not_signed_in_signs_in_first_and_comes_back_to_the_page(visit: Any) -> None:
    visitor = await visit()
    await visitor.see("/files?x=1")
    assert visitor.url.endswith("/sign-in?next=/files?x%3D1") or "next=%2Ffiles%3Fx%3D1" in visitor.url
    person = visitor.suite.person("agent")
    await visitor.post("/sign-in", {"email": person["email"], "password": person["password"], "next": "/files"}, csrf=False)
    assert visitor.status == 200 and visitor.url.endswith("/files") and person["name"] in visitor.text


async def test_cookies_are_out_of_reach_of_scripts_and_of_other_sites(visit: Any) -> None:
    visitor = await visit()
    person = visitor.suite.person("agent")
    async with visitor.session.post(
        f"{visitor.suite.base}/sign-in", data={"email": person["email"], "password": person["password"]}, allow_redirects=False
    ) as answer:
        cookies = answer.headers.getall("Set-Cookie")
    assert answer.status == 303 and len(cookies) == 2
    assert all("HttpOnly" in one and "SameSite=Strict" in one for one in cookies)


@pytest.mark.parametrize("target", ["https://elsewhere.test/", "//elsewhere.test/", "/\\elsewhere.test"])
async def test_the_page_to_come_back_to_is_ours(visit: Any, target: str) -> None:
    visitor = await visit()
    person = visitor.suite.person("agent")
    data = {"email": person["email"], "password": person["password"], "next": target}
    async with visitor.session.post(f"{visitor.suite.base}/sign-in", data=data, allow_redirects=False) as answer:
        assert answer.headers["Location"] == "/"


async def test_a_wrong_password_is_told_at_its_field_and_what_was_typed_stays(visit: Any) -> None:
    visitor = await visit()
    email = visitor.suite.person("agent")["email"]
    text = await visitor.post("/sign-in", {"email": email, "password": "wrong"}, csrf=False)
    assert visitor.status == 401 and f'value="{email}"' in text and 'aria-invalid="true"' in text and 'href="#field-email"' in text


async def test_signed_out_the_session_is_over_for_every_service(visit: Any) -> None:
    visitor = await (await visit()).sign_in("agent")
    await visitor.see("/")
    await visitor.post("/sign-out")
    assert "/sign-in" in visitor.url
    await visitor.see("/files")
    assert "/sign-in" in visitor.url


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}])
async def test_a_form_of_another_site_changes_nothing(visit: Any, headers: dict[str, str]) -> None:
    visitor = await visit("agent")
    await visitor.see("/files")
    await visitor.post("/files/spaces", {"name": "forged"}, **headers)
    assert visitor.status == 403
    assert "forged" not in await visitor.see("/files")


@pytest.mark.parametrize("path", ["/agenda/meet", "/people?email=a", "/cost"])
async def test_who_signed_out_elsewhere_sees_no_page_more_not_even_one_that_shows_a_form_alone(visit: Any, path: str) -> None:
    here, elsewhere = await (await visit()).sign_in("agent"), await visit()
    await here.see(path)
    assert here.status == 200 and "/sign-in" not in here.url, "the portal remembers who visits"
    cookies = {one.key: one.value for one in here.session.cookie_jar}
    elsewhere.session.cookie_jar.update_cookies(cookies, URL(here.suite.base))
    async with elsewhere.session.post(f"{here.suite.base}/auth/sign-out", headers={"X-CSRF-Token": cookies["parvis_portal"]}) as answer:
        assert answer.status in (200, 204), "the session ends at directory, and the portal is not told"

    async def is_out() -> bool:
        async with here.session.get(f"{here.suite.base}{path}", allow_redirects=False) as answer:
            return answer.status == 303 and answer.headers["Location"].startswith("/sign-in")

    await until(is_out, "the page is shown no more", 20)


@pytest.mark.parametrize("token", ["", "x" * 43])
async def test_nor_does_a_form_without_the_session_s_own_token(visit: Any, token: str) -> None:
    visitor = await visit("agent")
    await visitor.post("/files/spaces", {"name": "forged", "csrf": token}, csrf=False)
    assert visitor.status == 403
    assert "forged" not in await visitor.see("/files")


async def test_another_origin_is_refused_where_a_browser_says_nothing_else(visit: Any) -> None:
    visitor = await visit("agent")
    await visitor.see("/files")
    data = {"csrf": visitor.csrf, "name": "forged"}
    async with visitor.session.post(
        f"{visitor.suite.base}/files/spaces", data=data, headers={"Origin": "https://elsewhere.test"}
    ) as answer:
        assert answer.status == 403


async def test_a_click_on_another_site_s_link_reloads_once_with_the_cookies(visit: Any) -> None:
    visitor = await visit()
    text = await visitor.see("/files", **{"Sec-Fetch-Site": "cross-site"})
    assert visitor.status == 200 and 'http-equiv="refresh" content="0"' in text


async def test_every_page_says_what_it_may_load(visit: Any) -> None:
    visitor = await visit("agent")
    await visitor.see("/")
    assert set(visitor.headers["Content-Security-Policy"].split("; ")) >= POLICY
    assert visitor.headers["X-Content-Type-Options"] == "nosniff" and visitor.headers["Cache-Control"] == "no-store"
    assert " style=" not in visitor.text and " onclick=" not in visitor.text and "<style" not in visitor.text


async def test_the_page_speaks_the_agent_s_language_and_before_that_the_browser_s(visit: Any) -> None:
    assert '<html lang="en">' in await (await visit(**{"Accept-Language": "en-GB,en;q=0.9,fr;q=0.5"})).see("/sign-in")
    assert '<html lang="fr">' in await (await visit(**{"Accept-Language": "de"})).see("/sign-in")
    english = await visit("english", **{"Accept-Language": "fr"})
    assert '<html lang="en">' in await english.see("/") and "My files" in english.text


async def test_static_files_are_kept_for_a_year_and_come_packed(visit: Any) -> None:
    visitor = await visit("agent")
    await visitor.see(visitor.text.partition('<link rel="stylesheet" href="')[2].partition('"')[0])
    assert visitor.status == 200 and "immutable" in visitor.headers["Cache-Control"] and visitor.headers["Content-Encoding"] == "gzip"
    await visitor.see("/static/x/../../app.py")
    assert visitor.status == 404


@pytest.mark.parametrize(
    "headers, body",
    [
        ({"Content-Type": "application/x-www-form-urlencoded; charset=none-such"}, b"csrf=x"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"csrf=%ff%fe&name=%ED%A0%80"),
        ({"Content-Type": "application/x-www-form-urlencoded", "X-CSRF-Token": "\udcff"}, b"name=x"),
        ({"Content-Type": "multipart/form-data"}, b"--x"),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x\r\n\r\n\r\n--y"),
        ({"Content-Type": "text/plain"}, b"csrf=x"),
    ],
)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/files/spaces", "/agenda/meet", "/onboarding"])
async def test_a_form_that_cannot_be_read_is_refused_and_no_fault(visit: Any, path: str, headers: dict[str, str], body: bytes) -> None:
    visitor = await visit("administrator")
    async with visitor.session.post(f"{visitor.suite.base}{path}", data=body, headers=headers, allow_redirects=False) as answer:
        assert 400 <= answer.status < 500, (answer.status, await answer.text())


@pytest.mark.parametrize(
    "cookie", ['parvis_session="a\\012b"; parvis_portal=x', "parvis_session=é; parvis_portal=ü", "parvis_session=" + "x" * 300]
)
async def test_cookies_that_directory_never_made_are_no_session(visit: Any, cookie: str) -> None:
    visitor = await visit()
    await visitor.see("/files", Cookie=cookie)
    assert "/sign-in" in visitor.url


@pytest.mark.parametrize("form", [{"day": "9999-12-31", "do": "find"}, {"slot": "9999-12-31T23:59:00+00:00"}, {"slot": "2026-12-01"}])
async def test_days_that_nobody_meets_on_are_refused(visit: Any, form: dict[str, str]) -> None:
    visitor = await visit("agent")
    await visitor.see("/agenda/meet")
    await visitor.post("/agenda/meet", {"title": "t", "hour": "10:00", "minutes": "²", **form})
    assert visitor.status == 422
