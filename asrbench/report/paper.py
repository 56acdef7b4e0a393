"""The figures of a study as LaTeX, for the PDFs that `asrbench compare --paper` writes."""

from asrbench.report.plots.study import PAPER, pictures
from asrbench.report.study import Study
from asrbench.report.tables import latex_text

NAME = "figures.tex"


def figures(study: Study, mark: str = "") -> str:
    """Returns a `figure` of the package graphicx for each PDF, with its title and caption.

    Names of the PDFs end in the `mark` of the study.
    """
    return "\n".join(
        f"\\begin{{figure}}\n"
        f"\\centering\n"
        f"\\includegraphics[width=\\columnwidth]{{{each.name}{mark}{PAPER}}}\n"
        f"\\caption{{{latex_text(f'{each.title}. {each.caption}')}}}\n"
        f"\\label{{fig:{each.name}{mark}}}\n"
        f"\\end{{figure}}\n"
        for each in pictures(study)
    )
