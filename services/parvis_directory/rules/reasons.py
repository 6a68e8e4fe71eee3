"""Why a line of a ministry's file is refused or left: a code, and words in English and in French."""

from typing import NamedTuple


class Words(NamedTuple):
    """`{}` stands for what the reason is about."""

    en: str
    fr: str


REASONS = {
    "broken": Words("its quotation marks do not match", "ses guillemets ne se correspondent pas"),
    "cells": Words("{} cells, more than the first line has", "{} cellules, plus que la première ligne"),
    "too-long": Words("{}: too long", "{} : trop long"),
    "characters": Words("{}: control characters, or letters that were lost", "{} : caractères de contrôle, ou lettres perdues"),
    "misread": Words("{}: accents were mangled when the file was saved", "{} : les accents ont été abîmés à l’enregistrement du fichier"),
    "empty": Words("{} is empty", "{} est vide"),
    "number": Words("{}: rounded by Excel; format the column as text", "{} : arrondi par Excel ; mettez la colonne au format texte"),
    "formula": Words("{}: a formula; format the column as text", "{} : une formule ; mettez la colonne au format texte"),
    "email": Words("{} is no e-mail address", "{} n’est pas une adresse électronique"),
    "date": Words("{} is no date; write 31/12/2026", "{} n’est pas une date ; écrivez 31/12/2026"),
    "century": Words("{}: write the year with four digits", "{} : écrivez l’année en quatre chiffres"),
    "date-far": Words("{}: too far ahead; empty the cell for no end", "{} : trop lointain ; videz la cellule s’il n’y a pas de fin"),
    "dates": Words("the departure comes before the arrival", "le départ précède l’arrivée"),
    "kind": Words("{} is no type; write agent or invité", "{} n’est pas un type ; écrivez agent ou invité"),
    "language": Words("{} is no language; write fr or en", "{} n’est pas une langue ; écrivez fr ou en"),
    "guest-end": Words("a guest needs a departure date", "un invité a besoin d’une date de départ"),
    "id-twice": Words("the same identifier with another content is on line {}", "le même identifiant est, autrement, à la ligne {}"),
    "email-twice": Words("the same e-mail is on line {}", "la même adresse électronique est à la ligne {}"),
    "email-taken": Words("this e-mail cannot be used in your ministry", "cette adresse ne peut pas être utilisée dans votre ministère"),
    "email-other": Words("this e-mail is that of another agent of yours, {}", "cette adresse est celle d’un autre de vos agents, {}"),
    "transferred": Words("{} has gone over to another ministry", "{} a rejoint un autre ministère"),
    "left": Words(
        "this account was closed; for a new contract give an arrival date after that",
        "ce compte a été fermé ; pour un nouveau contrat, donnez une date d’arrivée postérieure",
    ),
    "self": Words("this account is yours; another administrator closes it", "ce compte est le vôtre ; un autre administrateur le ferme"),
    "repeated": Words("the same as line {}", "identique à la ligne {}"),
    "later": Words("arrives on {}: send the file again then", "arrive le {} : renvoyez le fichier à cette date"),
    "gone": Words("left before coming aboard", "parti avant d’avoir un compte"),
    "missing": Words("is not in the file any more", "ne figure plus dans le fichier"),
    "departed": Words("left on {}", "parti le {}"),
    "changed": Words("has changed since the dry run, and was left as it is", "a changé depuis l’essai, et a été laissé tel quel"),
}  # fmt: skip


def said(code: str, about: str, language: str = "en") -> str:
    """The reason in words; nothing for no reason."""
    return getattr(REASONS[code], language).format(about) if code else ""
