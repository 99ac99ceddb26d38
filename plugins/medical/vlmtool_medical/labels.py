"""Label sets for radiographs and for sorting a mixed archive, and prompts to describe pictures."""

from __future__ import annotations

from vlmtool_core.api import Label, LabelSet

VIEW = LabelSet(
    "chest-view",
    (
        Label(
            "frontal",
            ("a frontal chest x-ray", "a chest radiograph from the front"),
            "Postero-anterior or antero-posterior projection of the chest.",
            "#1f77b4",
            "1",
        ),
        Label(
            "lateral",
            ("a lateral chest x-ray", "a chest radiograph from the side"),
            "Side projection of the chest.",
            "#ff7f0e",
            "2",
        ),
        Label(
            "not a chest film",
            ("a radiograph of another body part", "a picture that is no chest x-ray"),
            "Anything that is not a projection radiograph of the chest.",
            "#7f7f7f",
            "3",
        ),
    ),
    domain="medical",
)
QUALITY = LabelSet(
    "film-quality",
    (
        Label(
            "good", ("a well exposed radiograph",), "Usable without reservation.", "#2ca02c", "1"
        ),
        Label(
            "rotated",
            ("a rotated radiograph",),
            "The patient is turned to one side.",
            "#bcbd22",
            "2",
        ),
        Label(
            "cut off",
            ("a radiograph with parts cut off",),
            "Part of the region is outside the picture.",
            "#9467bd",
            "3",
        ),
        Label("too dark", ("an overexposed radiograph",), "Overexposed.", "#8c564b", "4"),
        Label("too bright", ("an underexposed radiograph",), "Underexposed.", "#e377c2", "5"),
        Label(
            "artefact",
            ("a radiograph with an artefact", "a radiograph with jewellery or a device"),
            "Foreign objects or processing faults hide part of the region.",
            "#d62728",
            "6",
        ),
    ),
    exclusive=False,
    domain="medical",
)
MODALITY = LabelSet(
    "modality",
    (
        Label("radiograph", ("an x-ray picture", "a radiograph")),
        Label("CT", ("a computed tomography slice", "a CT scan")),
        Label("MR", ("a magnetic resonance image", "an MRI scan")),
        Label("ultrasound", ("an ultrasound picture", "a sonogram")),
        Label("photograph", ("a clinical photograph", "a photograph of skin")),
        Label("microscopy", ("a microscope picture of tissue", "a pathology slide")),
        Label("document", ("a scanned page of text", "a screen shot of a form")),
    ),
    domain="medical",
)
BODY_PART = LabelSet(
    "body-part",
    (
        Label("head", ("a scan of the head", "a picture of the brain")),
        Label("chest", ("a scan of the chest", "a picture of the lungs and the heart")),
        Label("abdomen", ("a scan of the abdomen", "a picture of the liver and the bowel")),
        Label("pelvis", ("a scan of the pelvis", "a picture of the hips")),
        Label("spine", ("a scan of the spine", "a picture of vertebrae")),
        Label("upper limb", ("a scan of an arm", "a picture of a hand")),
        Label("lower limb", ("a scan of a leg", "a picture of a foot")),
    ),
    domain="medical",
)
LABEL_SETS = (VIEW, QUALITY, MODALITY, BODY_PART)

PROMPTS = {
    "radiograph": "Describe the radiograph in one sentence: region, projection, devices.",
    "medical-quality": "Is the picture complete, upright and well exposed? Answer in one sentence.",
}
