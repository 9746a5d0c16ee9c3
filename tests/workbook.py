"""A small XLSX workbook as bytes, as spreadsheets write it: shared texts, styles, gaps."""

import io
import zipfile
from xml.sax.saxutils import escape

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
LINKS = "http://schemas.openxmlformats.org/package/2006/relationships"
STYLES = (
    '<numFmts><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd;@"/>'
    '<numFmt numFmtId="165" formatCode="0.0 &quot;mmHg, day&quot;"/></numFmts>'
    '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/>'
    '<xf numFmtId="164"/><xf numFmtId="165"/></cellXfs>'
)
DAY, OWN_DAY, OWN_NUMBER = "1", "2", "3"  # styles


class Styled(tuple):
    """(number, style)."""


def letters(column):
    name = ""
    column += 1
    while column:
        column, rest = divmod(column - 1, 26)
        name = chr(ord("A") + rest) + name
    return name


def workbook(*sheets, hidden=(), gaps=()):
    """Sheets of (name, rows); a cell is a text, a number, a bool, None or `Styled`.

    `gaps`: rows of the first sheet before which one row is left out.
    """
    texts = []
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        entries, links = "", ""
        for i, (name, _) in enumerate(sheets, 1):
            state = "hidden" if name in hidden else "visible"
            entries += f'<sheet name="{escape(name)}" sheetId="{i}" r:id="rId{i}" state="{state}"/>'
            links += f'<Relationship Id="rId{i}" Target="worksheets/sheet{i}.xml"/>'
        book = f"<workbookPr/><sheets>{entries}</sheets>"
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{MAIN}" xmlns:r="{REL}">{book}</workbook>'
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{LINKS}">{links}</Relationships>'
        )
        archive.writestr("xl/styles.xml", f'<styleSheet xmlns="{MAIN}">{STYLES}</styleSheet>')
        for i, (_, rows) in enumerate(sheets, 1):
            body, number = "", 0
            for index, row in enumerate(rows):
                number += 2 if i == 1 and index in gaps else 1
                cells = "".join(
                    _cell(f"{letters(j)}{number}", value, texts) for j, value in enumerate(row)
                )
                body += f'<row r="{number}">{cells}</row>'
            archive.writestr(
                f"xl/worksheets/sheet{i}.xml",
                f'<worksheet xmlns="{MAIN}"><sheetData>{body}</sheetData></worksheet>',
            )
        shared = "".join(f"<si><t>{escape(text)}</t></si>" for text in texts)
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{MAIN}">{shared}</sst>')
    return out.getvalue()


def _cell(place, value, texts):
    if value is None:
        return ""
    if isinstance(value, Styled):
        return f'<c r="{place}" s="{value[1]}"><v>{value[0]}</v></c>'
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, str):
        texts.append(value)
        return f'<c r="{place}" t="s"><v>{len(texts) - 1}</v></c>'
    return f'<c r="{place}"><v>{value!r}</v></c>'
