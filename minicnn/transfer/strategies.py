"""The ways to use a pretrained network on new pictures, as ``minicnn transfer`` reports and ``minicnn advise`` names them."""

# From cheap to expensive: of those that are about equally good, `minicnn transfer` recommends the first.
STRATEGIES = {
    "svm": "linear SVM on CNN codes",
    "softmax": "softmax classifier on CNN codes",
    "svm-earlier": "linear SVM on the codes of an earlier layer",
    "finetune-upper": "fine-tune the upper layers",
    "interpolate": "between the probe and fine-tuning",
    "finetune-more": "then fine-tune more layers",
    "biases": "fine-tune the biases alone",
    "norms": "fine-tune the batch norms alone",
    "surgical": "fine-tune one third of the layers",
    "soup": "average of several fine-tunings",
    "finetune-all": "fine-tune all layers",
    "scratch": "train from scratch",
}

LINEAR = ("svm", "softmax")
# What ``minicnn transfer --strategy`` takes. The others are reached otherwise, as the advisor says: codes of an earlier layer
# with --layer, (nearly) all layers with finetune-more in the full mode. Training from scratch is no transfer.
FINE_TUNING = ("finetune-upper", "interpolate", "finetune-more", "biases", "norms", "surgical", "soup")
TRANSFERABLE = LINEAR + FINE_TUNING
