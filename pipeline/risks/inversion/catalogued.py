"""Which rows of the catalogues inversion has evidence of."""

from pipeline.risks.catalogues import HERE, PARTLY, Evidence

EVIDENCE = (
    Evidence("Art. 15(5) confidentiality", "inversion", PARTLY, "of private measurements"),
    Evidence("MEASURE 2.7", "inversion", PARTLY, "of private measurements"),
    Evidence("NISTAML.03", "inversion", PARTLY, "of private measurements"),
    Evidence("NISTAML.032", "inversion", PARTLY, "one measurement of a known record"),
    Evidence("AML.T0024", "inversion", PARTLY, "of private measurements"),
    Evidence("AML.T0024.001", "inversion", HERE, "guesses with and without the model"),
    Evidence("ML03:2023", "inversion", HERE, "guesses with and without the model"),
    Evidence("queries", "inversion", PARTLY, "private measurements; on average, not each person"),
    Evidence("testing: attribute inference", "inversion", HERE, "members and others apart"),
    Evidence("testing: model inversion", "typical", HERE, "the typical patient of a class"),
    Evidence("Art. 15(5) confidentiality", "image_told", PARTLY, "of images"),
    Evidence("MEASURE 2.7", "image_told", PARTLY, "of images"),
    Evidence("NISTAML.03", "image_told", PARTLY, "of images"),
    Evidence("NISTAML.032", "image_told", HERE, "the image behind one update, beside the mean's"),
    Evidence("AML.T0024", "image_told", PARTLY, "of images"),
    Evidence("AML.T0024.001", "image_told", HERE, "images read off networks and their updates"),
    Evidence("ML03:2023", "image_told", HERE, "images read off networks and their updates"),
    Evidence("extraction", "image_told", PARTLY, "images of some, beside the public mean image"),
    Evidence("testing: model inversion", "image_told", HERE, "the typical image of a class"),
    Evidence("testing: reconstruction", "image_told", HERE, "from one update; not from weights"),
)
