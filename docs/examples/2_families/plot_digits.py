"""
Zeros and ones: Bernoulli components
====================================

Ten components for scikit-learn's images of digits, each pixel black or white: the probability of black, and above each
its share of the images.
"""

from matplotlib import pyplot
from sklearn.datasets import load_digits

import fastem

images = load_digits().data > 7
model = fastem.BernoulliMixture(10, random_state=0).fit(images)
figure, axes = pyplot.subplots(2, 5, figsize=(8, 3.6), layout="constrained")
for weight, probabilities, ax in zip(model.weights_, model.probabilities_, axes.flat):
    ax.imshow(probabilities.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
    ax.set(title=f"{weight:.0%}", xticks=[], yticks=[])
pyplot.show()
