"""What an agent may hear about, and how it is put into words: who, when, what kind, and a link."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Literal, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

NoticeKind = Literal[
    "welcome", "file_shared", "meeting_invited", "meeting_moved", "meeting_withdrawn", "meeting_answered", "answer_noted", "quota"
]
SubjectKind = Literal["none", "file", "meeting", "space"]
PreferenceKind = Literal["file_shared", "meeting_invited", "meeting_answered", "quota"]
Language = Literal["fr", "en"]
PREFERENCE_KINDS: tuple[PreferenceKind, ...] = get_args(PreferenceKind)
PREFERENCE_OF: Mapping[str, PreferenceKind] = {
    "file_shared": "file_shared",
    "meeting_invited": "meeting_invited",
    "meeting_moved": "meeting_invited",
    "meeting_withdrawn": "meeting_invited",
    "meeting_answered": "meeting_answered",
    "quota": "quota",
}
"""By which preference an agent hears of it or not; a welcome, and the echo of one's own answer, always come."""
QUIET = frozenset({"quota", "answer_noted"})
"""Sent as m.notice, which rings nowhere."""
PARIS = ZoneInfo("Europe/Paris")
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to tell an agent or a team, by ids; its words are found when it is told."""

    id: UUID
    kind: NoticeKind
    subject_kind: SubjectKind
    subject_id: UUID | None
    agent_id: UUID | None
    team_id: UUID | None
    actor_id: UUID | None
    details: dict[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class Words:
    """A notice as an agent reads it."""

    title: str
    detail: str
    link: str

    @property
    def body(self) -> str:
        return "\n".join(filter(None, (self.title, self.detail, self.link)))


@dataclass(frozen=True, slots=True)
class Names:
    """Who is who, as far as it is known here."""

    actor: str = ""
    team: str = ""
    given_name: str = ""


def words_of(notice: Notice, language: str, names: Names, public_url: str) -> Words:
    said: Language = "en" if language == "en" else "fr"
    title, detail = (_english if said == "en" else _french)(notice, names)
    return Words(title, detail, public_url.rstrip("/") + path_of(notice))


def path_of(notice: Notice) -> str:
    """Where it is looked at on the suite's pages."""
    match notice.subject_kind:
        case "file":
            return f"/files/items/{notice.subject_id}"
        case "meeting":
            return "/agenda"
        case "space":
            return "/files"
        case _:
            return "/"


ROLES: Mapping[str, tuple[str, str]] = {
    "reader": ("en lecture", "to read"),
    "editor": ("en lecture et en écriture", "to read and change"),
    "manager": ("avec tous les droits", "to manage"),
    "depositor": ("pour y déposer", "to put files into"),
}
ANSWERS: Mapping[str, tuple[str, str]] = {
    "accepted": ("accepte", "accepts"),
    "declined": ("décline", "declines"),
    "tentative": ("viendra peut-être à", "may come to"),
}
NOTED: Mapping[str, tuple[str, str]] = {
    "accepted": ("C'est noté : vous acceptez.", "Noted: you accept."),
    "declined": ("C'est noté : vous déclinez.", "Noted: you decline."),
    "tentative": ("C'est noté : vous viendrez peut-être.", "Noted: you may come."),
}
HOW_TO_ANSWER = (
    "Répondez par 👍, 👎 ou 🤔 sur ce message, ou par !oui, !non ou !peut-être dans son fil.",
    "Answer by 👍, 👎 or 🤔 on this message, or by !yes, !no or !maybe in its thread.",
)


def _french(notice: Notice, names: Names) -> tuple[str, str]:
    details, actor = notice.details, names.actor or "Quelqu'un"
    match notice.kind:
        case "welcome":
            title = f"Bienvenue dans Parvis, {names.given_name}" if names.given_name else "Bienvenue dans Parvis"
            return title, "Ici arrive ce qui vous concerne : fichiers partagés, réunions, quotas. Dans leur fil, vous pouvez répondre."
        case "file_shared":
            whom = f"l'équipe {names.team}" if names.team else "votre équipe" if notice.team_id else "vous"
            return f"{actor} partage avec {whom} « {details['name']} »", f"{ROLES[details['role']][0]}, le {day_and_hour(notice.at, 'fr')}"
        case "meeting_invited":
            return f"{actor} vous invite à une réunion", f"{span_of(details, 'fr')}\n{HOW_TO_ANSWER[0]}"
        case "meeting_moved":
            return f"{actor} déplace une réunion", f"{span_of(details, 'fr')}\n{HOW_TO_ANSWER[0]}"
        case "meeting_withdrawn":
            return f"{actor} retire son invitation à une réunion", span_of(details, "fr")
        case "meeting_answered":
            return f"{actor} {ANSWERS[details['answer']][0]} votre réunion", span_of(details, "fr")
        case "answer_noted":
            return NOTED[details["answer"]][0], span_of(details, "fr")
        case "quota":
            whose = "Un espace partagé dont vous avez la gestion" if details.get("shared") else "Votre espace"
            return f"{whose} est plein à {details['percent']} %", f"{gib(details, 'fr')} : supprimez, ou videz la corbeille."


def _english(notice: Notice, names: Names) -> tuple[str, str]:
    details, actor = notice.details, names.actor or "Somebody"
    match notice.kind:
        case "welcome":
            title = f"Welcome to Parvis, {names.given_name}" if names.given_name else "Welcome to Parvis"
            return title, "Here you hear of what concerns you: shared files, meetings, quotas. In their threads you can answer."
        case "file_shared":
            whom = f"the team {names.team}" if names.team else "your team" if notice.team_id else "you"
            return f"{actor} shares “{details['name']}” with {whom}", f"{ROLES[details['role']][1]}, on {day_and_hour(notice.at, 'en')}"
        case "meeting_invited":
            return f"{actor} invites you to a meeting", f"{span_of(details, 'en')}\n{HOW_TO_ANSWER[1]}"
        case "meeting_moved":
            return f"{actor} moves a meeting", f"{span_of(details, 'en')}\n{HOW_TO_ANSWER[1]}"
        case "meeting_withdrawn":
            return f"{actor} withdraws the invitation to a meeting", span_of(details, "en")
        case "meeting_answered":
            return f"{actor} {ANSWERS[details['answer']][1]} your meeting", span_of(details, "en")
        case "answer_noted":
            return NOTED[details["answer"]][1], span_of(details, "en")
        case "quota":
            whose = "A shared space that you manage" if details.get("shared") else "Your space"
            return f"{whose} is {details['percent']}% full", f"{gib(details, 'en')}: delete something, or empty the trash."


DAYS = {
    "fr": ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"),
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
}
MONTHS = {
    "fr": ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre"),
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"),
}
MIDNIGHT = time()


def day(moment: datetime, language: Language) -> str:
    """`lundi 30 novembre 2026`, in Paris."""
    there = moment.astimezone(PARIS)
    number = "1er" if there.day == 1 and language == "fr" else str(there.day)
    return f"{DAYS[language][there.weekday()]} {number} {MONTHS[language][there.month - 1]} {there.year}"


def hour(moment: datetime, language: Language) -> str:
    """`14 h`, `14 h 05`; `14:05` in English."""
    there = moment.astimezone(PARIS)
    if language == "en":
        return f"{there:%H:%M}"
    return f"{there.hour} h" + (f" {there.minute:02}" if there.minute else "")


def day_and_hour(moment: datetime, language: Language) -> str:
    return f"{day(moment, language)} {'à' if language == 'fr' else 'at'} {hour(moment, language)}"


def span_of(details: Mapping[str, Any], language: Language) -> str:
    """From when until when, for people; empty when it is not known here."""
    if "starts_at" not in details:
        return ""
    starts, ends = (datetime.fromisoformat(details[name]) for name in ("starts_at", "ends_at"))
    return span(starts, ends, language) + (RECURS[language] if details.get("recurs") else "")


RECURS = {"fr": ", puis régulièrement", "en": ", then regularly"}


def span(starts: datetime, ends: datetime, language: Language) -> str:
    first, last = starts.astimezone(PARIS), ends.astimezone(PARIS)
    french = language == "fr"
    if first.time() == last.time() == MIDNIGHT and last > first:
        days = (last.date() - first.date()).days
        if days == 1:
            return f"{day(first, language)}, {'toute la journée' if french else 'all day'}"
        final = last - timedelta(hours=12)
        return f"{'du' if french else 'from'} {day(first, language)} {'au' if french else 'to'} {day(final, language)}"
    if first.date() == last.date():
        until = f"de {hour(first, 'fr')} à {hour(last, 'fr')}" if french else f"from {hour(first, 'en')} to {hour(last, 'en')}"
        return f"{day(first, language)}, {until}"
    return f"{'du' if french else 'from'} {day_and_hour(first, language)} {'au' if french else 'to'} {day_and_hour(last, language)}"


def gib(details: Mapping[str, Any], language: Language) -> str:
    used, limit = (f"{details[name] / GIB:.1f}" for name in ("used_bytes", "limit_bytes"))
    if language == "fr":
        return f"{used.replace('.', ',')} Gio sur {limit.replace('.', ',')}"
    return f"{used} of {limit} GiB"
