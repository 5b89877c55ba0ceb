"""The codes of all diagnostics (CODES), and the context of one parse, which collects them.

A note is a repair, a warning a doubt, an error something left out; `strict` turns notes into errors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from evalkit.formats.language import other_language
from evalkit.text import repair
from evalkit.types import Diagnostic, Document, Plan, Severity

Report = Callable[[str, str, int], None]
"""Report a diagnostic: code, message and line."""
LONGEST_NAME = 200  # characters of a planner, a paper or a sample
SEVERITY_IN_GOLD: dict[str, Severity] = {"no-entries": "warning", "truncated": "error"}
LISTED = 200  # diagnostics of one code that a plan lists; the rest is counted, so that no garbage fills the memory


class Code(NamedTuple):
    """The severity of a code and its meaning, in one sentence that documentation can print."""

    severity: Severity
    meaning: str


def _table(severity: Severity, **meanings: str) -> dict[str, Code]:
    return {name.replace("_", "-"): Code(severity, meaning) for name, meaning in meanings.items()}


CODES: dict[str, Code] = {
    **_table(
        "note",
        byte_order_mark="The file began with a byte order mark.",
        line_endings="Lines ended in CR or CRLF; they were read as LF.",
        control_characters="Control characters or terminal escapes were left out.",
        lone_surrogate="Half of a surrogate pair became U+FFFD.",
        mojibake="UTF-8 that had been read in another encoding was read again as UTF-8.",
        not_nfc="Decomposed characters were composed (NFC).",
        action_synonym="The action was not spelt REMOVE, REPLACE or ADD; the meaning was clear.",
        field_synonym="A field had another name than name, ablated_part, action, replacement or metrics.",
        name_missing="The entry had no name; its part stands in.",
        part_missing="The entry had no ablated part; its name stands in.",
        name_from_key="The entry's name was the key it stood under.",
        text_for_list="A text stood where a list belongs; it became one item, or several where it was itself a list.",
        list_for_text="A list or an object stood where a text belongs; it became one text.",
        nested_item="An item of a list was itself a list or an object; it became one text.",
        inline_options="Options stood on one line and were split.",
        flat_options="Options stood at the level of the fields instead of below their field.",
        nested_option="A bullet below an option was joined to it.",
        trailing_comma="JSON had a comma too many.",
        missing_comma="JSON lacked a comma.",
        missing_colon="JSON lacked a colon or a value.",
        unclosed_bracket="JSON lacked a closing bracket; what followed was read on its own.",
        stray_bracket="JSON had a bracket or sign that closes or opens nothing.",
        other_quotes="JSON had strings in quotes other than double ones.",
        inner_quotes="JSON had quotation marks inside a string that were not escaped.",
        unclosed_string="JSON had a string without its closing quote; it was ended with its line.",
        round_brackets="JSON had a list in round brackets.",
        raw_newline="JSON had a string that ran over lines.",
        bad_escape="JSON had a backslash that escapes nothing; it was kept as a backslash.",
        latex_escape="JSON read to the letter would have turned a LaTeX command such as \\beta into a control code.",
        bare_word="JSON had a key or value without quotes.",
        json_comment="JSON had comments.",
        code_fence="The data stood in a fenced code block.",
        text_around_data="Text before or after the data was passed over.",
        tag_unclosed="A reply did not close its predictions or discussion tag.",
        yaml_requoted="YAML values that needed quotes were read as if they had them.",
        table_row="The entries stood in a markdown table; each of its rows is one.",
        listed_entry="The entries stood in a list, their fields in the text of an item.",
        options_in_text="Options stood in one text and were split.",
        earlier_draft="A list was followed by another one of the same; the last whole one was taken.",
        kept_reply="The plan stood in the kept answer of a language model's server.",
        yaml_tabs="YAML was indented by tabs; they were read as spaces.",
        # Of files and folders, and of how plans and gold meet.
        encoding="A file was not UTF-8; it was read as UTF-16 or Windows-1252.",
        repeats="A file says what another one says, or nothing; it was passed over.",
        sample_in_name="A file called `paper.2` was read as a sample of `paper`, as gold has no paper of that name.",
    ),
    **_table(
        "warning",
        action_missing="A plan's entry names no action; it is kept with the action unspecified.",
        action_ambiguous="The action names more than one; the entry is kept with the action unspecified.",
        replacement_missing="An entry replaces or adds and names no replacement.",
        replacement_unexpected="An entry removes and still names a replacement; it is kept.",
        metrics_missing="A plan's entry names no metrics.",
        unknown_field="A field is none that is known; it was passed over.",
        field_twice="A field stands twice in one entry; the one that says something was taken, else the first.",
        duplicate_key="A key stands twice in one object; the last one was taken.",
        duplicate_entry="An entry repeats an earlier one of the same plan; it counts as an entry.",
        duplicate_name="Two entries of one list have the same name.",
        ellipsis="Three dots stood where entries or options belong; what they stand for is not there.",
        text_between_data="Text between objects was passed over.",
        unread_line="A line inside a plan is neither an entry nor a field of one; it was passed over.",
        truncated="The data ended in the middle; what was there has been read. In gold this is an error.",
        several_shapes="Entries stood there in two shapes; those of the one that held more were taken.",
        yaml_pieces="YAML did not parse as a whole; its entries and fields were read one by one.",
        plan_heading_missing="There is no 'Ablation Plan' heading; entries were looked for in the whole document.",
        several_answers="A file keeps several answers of a model about one paper; they were read as one plan, of "
        "several choices the first.",
        thought_unclosed="A reply opens with thinking that never ends; what was read may be a draft.",
        tag_missing="A reply has no predictions tag; data was looked for in the whole reply.",
        only_counted="A reference says how many suggestions there are and not what they are.",
        no_planner="Neither the document nor its path says who made the plan.",
        other_language="The entries are mostly in another script or language than English, which is what is matched.",
        draft="A gold entry is a draft that nobody has confirmed.",
        bad_metadata="Gold's `meta` is no object of fields, or has too many of them; it was passed over.",
        review_text="A review's text stands where entries belong; `evalkit gold extract` makes a draft of it.",
        # Of files and folders.
        link_outside="A link leads to a file outside the folder; it was read. With `--strict` an error, not read.",
        link_folder="A link leads to a folder; it was not followed. With `--strict` an error.",
        run_folder="A folder is a run that evalkit wrote; it was passed over.",
        unread_files="Files are in no known format; they were counted and not read.",
        # Of how plans and gold meet.
        missing_plan="A planner has no plan for a gold paper; it counts as an empty plan.",
        lost_sample="A planner has fewer samples for a paper than for others; each lost one counts as an empty plan.",
        unknown_paper="Gold does not know the paper of a plan; the plan is not scored.",
        no_suggestion="A review suggests no ablation; only AblationBench's means count the paper, as 0.",
        # Of recorded judgements.
        unused_judgement="A judgement is about a plan that is not there; it is not used.",
        judge_abstained="One of several judges has no judgement of a plan; it counts as abstaining.",
        entry_not_judged="Gold entries are in no row of a judgement; they count as unmatched.",
    ),
    **_table(
        "error",
        no_paper="Neither the document nor its path says which paper it is about.",
        unknown_action="The action is none that is known; the entry is kept, and is no full match of any other.",
        not_an_entry="Something that is no object stands where an entry belongs; it was left out.",
        entry_without_content="An entry has neither a name nor a part; it was left out.",
        entries_merged="Two entries ran together where a quotation mark is lost; both were left out.",
        entry_unreadable="An entry could not be read; it was left out, its neighbours were not.",
        bad_weight="A weight of gold is no positive number; 1 was taken.",
        text_cut="A text is longer than any of a plan; what stands behind its limit was left out.",
        too_many="A list has more entries, options, metrics or words than are read, or a document more samples and "
        "planners; what is beyond was left out.",
        too_deep="Brackets are nested deeper than any plan's; what they hold was left out.",
        yaml_aliases="YAML aliases refer to themselves or multiply beyond reason; the document was left out.",
        no_entries="There is not one entry.",
        empty_document="There is no text.",
        not_recognised="The text is in none of the known formats.",
        more_of_the_kind="Further findings of a kind were counted, not listed.",
        # Of files and folders, and of lines on standard input.
        unreadable="A file or folder cannot be opened, or is none; a plan in its place counts as unreadable.",
        too_large="A file is larger than any document that is read; it was left out.",
        not_text="A file holds bytes that are no text; it was left out.",
        not_a_table="A file that is called Parquet or Arrow cannot be read as a table; it was left out.",
        bad_line="A line on standard input (`--pred -`) is no plan; it was passed over.",
        # Of how plans and gold meet.
        duplicate_plan="Two files are plans of one planner for one paper; this one is not used, or neither is.",
        plan_elsewhere="A plan names a planner that has a folder, but lies outside of it; it is not used.",
        duplicate_gold="A paper has gold twice; this list is not used.",
        no_gold="A paper's gold has no entry; the paper is not scored.",
        draft_gold="A paper's gold is a draft that nobody has confirmed; it is not scored.",
        # Of recorded judgements.
        judgement_unreadable="A judgement, or a part of one, could not be read; it was left out.",
        judgement_mixed="A file holds judgements of two tasks; those of one were left out.",
        duplicate_judgement="A judge has two judgements of a plan; this one is not used.",
        planner_not_judged="No plan of a planner was judged; the planner is left out.",
        no_judgement="No judge has a judgement of a plan; all its entries count as unmatched.",
        unknown_name="A judgement names an entry that neither list has; it is not used.",
    ),
}


@dataclass(slots=True)
class ParseContext:
    """One document being parsed: how it is read, and its diagnostics so far."""

    document: Document
    strict: bool = False
    gold: bool = False
    _diagnostics: list[Diagnostic] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)

    def report(self, code: str, message: str, line: int | None = None) -> None:
        """Add one diagnostic with the severity of its code."""
        self._counts[code] += 1
        if self._counts[code] <= LISTED:
            self._diagnostics.append(Diagnostic(self._severity(code), code, message, self.document.path, line))

    @contextmanager
    def named(self, planner: str, paper: str) -> Iterator[None]:
        """Let a heading give the names that the data below it lacks, for the length of a block."""
        document = self.document
        self.document = replace(document, planner=planner or document.planner, paper=paper or document.paper)
        yield
        self.document = document

    def _severity(self, code: str) -> Severity:
        severity = CODES[code].severity
        if self.gold:
            severity = SEVERITY_IN_GOLD.get(code, severity)
        return "error" if self.strict and severity == "note" else severity

    def clean(self, text: str, line: int, *, lines: bool = False) -> str:
        """Return a value repaired and stripped; report every repair, on its own line if `text` spans `lines`."""
        repaired, repairs = repair(text)
        for code, message, offset in repairs:
            self.report(code, message, line + offset - 1 if lines else line)
        return repaired.strip()

    def reported(self, code: str) -> bool:
        """Was something of this code reported since the last plan?"""
        return self._counts[code] > 0

    def take(self) -> list[Diagnostic]:
        """Return what was reported since the last plan, in the order of lines, and forget it."""
        for code, count in self._counts.items():
            if count > LISTED:
                message = f"{count - LISTED} further findings of the kind {code!r} are not listed"
                path = self.document.path
                self._diagnostics.append(Diagnostic(self._severity(code), "more-of-the-kind", message, path))
        taken = sorted(self._diagnostics, key=lambda diagnostic: diagnostic.line or 0)
        self._diagnostics, self._counts = [], Counter()
        return taken

    def finish(self, plan: Plan, earlier: Iterable[Diagnostic] = ()) -> Plan:
        """Return a plan with all diagnostics, `earlier` ones too; names that the document lacks, its path gives."""
        paper = self._name(plan.paper) or self.document.paper or ""
        planner = None if self.gold else self._name(plan.planner or "") or self.document.planner
        sample = self._name(plan.sample)
        if not paper:
            self.report("no-paper", "expected a heading, a field or a path that names the paper, found none")
        if planner is None and not self.gold:
            self.report("no-planner", "expected a heading, a field or a path that names the planner, found none")
        if language := other_language(text for entry in plan.ablations for text in (entry.name, entry.part)):
            self.report(
                "other-language", f"expected entries in English, found {language}; they hardly match English ones"
            )
        diagnostics = sorted((*earlier, *self.take()), key=lambda diagnostic: diagnostic.line or 0)
        path = self.document.path
        return replace(plan, paper=paper, planner=planner, sample=sample, diagnostics=tuple(diagnostics), path=path)

    def _name(self, name: str) -> str:
        """Return a name, cut where it is longer than any."""
        if len(name) > LONGEST_NAME:
            message = f"expected a name of at most {LONGEST_NAME} characters, found {len(name)}; cut there"
            self.report("text-cut", message, 1)
        return name[:LONGEST_NAME]
