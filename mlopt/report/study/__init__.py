"""What a search found, on disk and for people: ``study.json``, and the page, the Markdown and the lines made of it."""

from mlopt.report.study.account import told
from mlopt.report.study.files import PAGE_FILE, STUDY_FILE, is_study, read, text, to_json, write

__all__ = ["PAGE_FILE", "STUDY_FILE", "is_study", "read", "text", "to_json", "told", "write"]
