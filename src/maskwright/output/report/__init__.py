"""The report page: facts (what it shows), pictures, charts, sections, page (how it becomes one file).

In: ReportFacts, filled by workflows from a run folder. Out: one self-contained report.html.
"""
