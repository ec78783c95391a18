using Microsoft.ML.EarlyExit.Model.Bundle;

namespace Microsoft.ML.EarlyExit.Conversion.Tests;

/// <summary>Every graph of every kind of T5 is one that opening takes.</summary>
public sealed class GraphKindTests
{
    public static TheoryData<T5Activation, bool, bool, int, WeightPrecision> Kinds =>
    [
        .. from activation in Enum.GetValues<T5Activation>()
           from gated in (bool[])[false, true]
           from ownHead in (bool[])[false, true]
           from headWidth in (int[])[5, 8, 16]
           from weights in Enum.GetValues<WeightPrecision>()
           select new TheoryDataRow<T5Activation, bool, bool, int, WeightPrecision>(activation, gated, ownHead, headWidth, weights),
    ];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void What_is_converted_is_read(T5Activation activation, bool gated, bool ownHead, int headWidth, WeightPrecision weights)
    {
        using var folder = new TemporaryFolder();
        T5Configuration sizes = TinyCheckpoint.Sizes with
        {
            Activation = activation, GatedFeedForward = gated, KeyValueDimension = headWidth, ScaleDecoderOutputs = !ownHead,

            // Two blocks of four bits; one of the model's width has eight.
            FeedForwardDimension = weights == WeightPrecision.Int4 ? 128 : TinyCheckpoint.Sizes.FeedForwardDimension,
        };
        Directory.CreateDirectory(folder.File("source"));
        new TinyCheckpoint(sizes, ownHead: ownHead).Write(folder.File("source"));
        T5Converter.Convert(folder.File("source"), folder.File("bundle"), new T5ConversionOptions { Weights = weights });
        using ModelBundle bundle = ModelBundle.Open(folder.File("bundle"));
        Assert.NotEmpty(BundleGraph.ReadEncoder(bundle).Graph.Node);
        Assert.NotEmpty(BundleGraph.ReadTeacherForcedDecoder(bundle).Graph.Node);
        for (int layer = 0; layer < sizes.DecoderLayerCount; layer++)
        {
            Assert.NotEmpty(BundleGraph.ReadDecoderBlock(bundle, layer).Graph.Node);
            Assert.NotEmpty(BundleGraph.ReadStateKeysValues(bundle, layer).Graph.Node);
            Assert.NotEmpty(BundleGraph.ReadCrossKeysValues(bundle, layer).Graph.Node);
        }
    }
}
