"""What people read about a certificate: figures with intervals, and a curve."""

from pipeline.risks.poisoning.certificate_report import certificate_section, draw_certificate

from risks.poisoning.made_up import CERTIFICATE


def test_the_section_shows_figures_with_intervals_and_the_picture(tmp_path):
    section = certificate_section(CERTIFICATE, draw_certificate(CERTIFICATE, tmp_path))
    for cell in ("0.750 (0.700 to 0.800)", "0.300 (0.200 to 0.400)"):
        assert f"<td>{cell}</td>" in section
    assert section.count("data:image/png;base64,") == 1
    assert "changed counts double" in section


def test_names_are_escaped(tmp_path):
    hostile = CERTIFICATE.assign(defense="<b>x</b>")
    assert "<b>x" not in certificate_section(hostile, draw_certificate(hostile, tmp_path))
