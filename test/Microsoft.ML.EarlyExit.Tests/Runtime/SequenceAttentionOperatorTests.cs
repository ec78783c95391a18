using Google.Protobuf;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Graphs with the operator against the same graphs in standard operators.</summary>
public sealed class SequenceAttentionOperatorTests
{
    private static readonly ModelBundle s_bundle = TestModels.Model(TestModels.Exits).Bundle;

    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 150)]
    [InlineData(3, 70)]
    public void Encoders_give_what_standard_operators_give(int rows, int length)
    {
        ModelProto model = BundleGraph.ReadEncoder(s_bundle);
        Assert.True(SequenceAttentionOperator.Replace(model));
        Assert.DoesNotContain(
            model.Graph.Node, node => node.OpType is "Softmax" or "Split" or "Transpose" && node.Name.StartsWith("encoder.", StringComparison.Ordinal));
        AssertSame(BundleGraph.ReadEncoder(s_bundle), model, EncoderInputs(rows, length));
    }

    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(2, 66, 131)]
    public void Decoders_over_a_target_give_what_standard_operators_give(int rows, int target, int length)
    {
        ModelProto model = BundleGraph.ReadTeacherForcedDecoder(s_bundle);
        Assert.True(SequenceAttentionOperator.Replace(model));
        Assert.DoesNotContain(model.Graph.Node, node => node.OpType == "Softmax");
        var random = new Random(3);
        AssertSame(BundleGraph.ReadTeacherForcedDecoder(s_bundle), model, new Dictionary<string, OrtValue>
        {
            [GraphContract.DecoderInputIds] = Ids(rows, target),
            [GraphContract.EncoderOutput] = OrtValue.CreateTensorValueFromMemory(
                [.. Enumerable.Range(0, rows * length * s_bundle.Configuration.ModelDimension).Select(_ => random.NextSingle() - 0.5f)],
                [rows, length, s_bundle.Configuration.ModelDimension]),
            [GraphContract.EncoderAttentionMask] = Mask(rows, length),
        });
    }

    [Theory]
    [InlineData("scores are read elsewhere")]
    [InlineData("scores are an output")]
    [InlineData("keys are not turned")]
    [InlineData("softmax over queries")]
    [InlineData("other heads")]
    [InlineData("no bias")]
    [InlineData("keys and values change places")]
    public void What_is_not_that_attention_stays(string difference)
    {
        ModelProto original = BundleGraph.ReadEncoder(s_bundle);
        GraphProto graph = original.Graph;
        NodeProto softmax = graph.Node.First(node => node.OpType == "Softmax");
        NodeProto biased = Maker(softmax.Input[0]);
        NodeProto scores = Maker(biased.Input[0]);
        NodeProto split = graph.Node.First(node => node.OpType == "Split");
        switch (difference)
        {
            case "scores are read elsewhere":
                graph.Node.Insert(
                    graph.Node.IndexOf(biased), new NodeProto { Name = "more", OpType = "Relu", Input = { scores.Output[0] }, Output = { "more" } });
                biased.Input[1] = "sum";
                graph.Node.Insert(
                    graph.Node.IndexOf(biased), new NodeProto { Name = "sum", OpType = "Add", Input = { "more", "bias" }, Output = { "sum" } });
                break;
            case "scores are an output":
                var type = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)TensorProto.Types.DataType.Float } };
                graph.Output.Add(new ValueInfoProto { Name = scores.Output[0], Type = type });
                break;
            case "keys are not turned":
                // A product of the same shape only where there are as many keys as a head is wide.
                Attribute(Maker(scores.Input[1]), "perm").Ints[2] = 1;
                Attribute(Maker(scores.Input[1]), "perm").Ints[3] = 3;
                break;
            case "softmax over queries":
                Attribute(softmax, "axis").I = -2;
                break;
            case "other heads":
                Maker(Maker(scores.Input[0]).Input[0]).Input[1] = "other_shape";
                graph.Initializer.Add(new TensorProto(graph.Initializer.First(one => one.Name == "heads_shape")) { Name = "other_shape" });
                break;
            case "no bias":
                softmax.Input[0] = scores.Output[0];
                graph.Node.Remove(biased);
                break;
            default:
                (split.Output[0], split.Output[1]) = (split.Output[1], split.Output[0]);
                break;
        }

        ModelProto model = original.Clone();
        Assert.True(SequenceAttentionOperator.Replace(model));
        Assert.Equal([softmax.Name], model.Graph.Node.Where(node => node.OpType == "Softmax").Select(node => node.Name));
        AssertSame(original, model, EncoderInputs(1, s_bundle.Manifest.GraphHeadDimension));

        NodeProto Maker(string value) => graph.Node.First(node => node.Output.Contains(value));
        AttributeProto Attribute(NodeProto node, string name) => node.Attribute.First(attribute => attribute.Name == name);
    }

    [Fact]
    public void Shapes_that_do_not_fit_are_an_error_of_the_run()
    {
        ModelProto model = BundleGraph.ReadEncoder(s_bundle);
        Assert.True(SequenceAttentionOperator.Replace(model));
        NodeProto attention = model.Graph.Node.First(node => node.OpType == "SequenceAttention");
        attention.Input[1] = attention.Input[0];
        Assert.Contains("keys and values", Assert.Throws<OnnxRuntimeException>(() => Run(model, EncoderInputs(1, 5))).Message, StringComparison.Ordinal);
    }

    private static Dictionary<string, OrtValue> EncoderInputs(int rows, int length) => new()
    {
        [GraphContract.InputIds] = Ids(rows, length),
        [GraphContract.AttentionMask] = Mask(rows, length),
    };

    private static OrtValue Ids(int rows, int length) =>
        OrtValue.CreateTensorValueFromMemory([.. Enumerable.Range(0, rows * length).Select(at => 2L + (at * 7 % 200))], [rows, length]);

    // The later rows are shorter.
    private static OrtValue Mask(int rows, int length) => OrtValue.CreateTensorValueFromMemory(
        [.. Enumerable.Range(0, rows * length).Select(at => at % length < length - (9 * (at / length)) ? 1L : 0L)], [rows, length]);

    private static void AssertSame(ModelProto expected, ModelProto actual, Dictionary<string, OrtValue> inputs)
    {
        List<float[]> one = Run(expected, inputs), other = Run(actual, inputs);
        Assert.Equal(one.Count, other.Count);
        foreach ((float[] first, float[] second) in one.Zip(other))
        {
            Assert.Equal(first.Length, second.Length);
            float largest = first.Max(Math.Abs);
            Assert.All(first.Zip(second), pair => Assert.Equal(pair.First, pair.Second, 1e-5f * Math.Max(1, largest)));
        }
    }

    private static List<float[]> Run(ModelProto model, Dictionary<string, OrtValue> inputs)
    {
        using var attention = new SequenceAttentionOperator();
        using var options = new SessionOptions();
        attention.AddTo(options);
        options.AddSessionConfigEntry("session.model_external_initializers_file_folder_path", s_bundle.Folder);
        using var session = new InferenceSession(model.ToByteArray(), options);
        using var run = new RunOptions();
        using IDisposableReadOnlyCollection<OrtValue> outputs = session.Run(run, inputs, session.OutputNames);
        return [.. outputs.Select(output => output.GetTensorDataAsSpan<float>().ToArray())];
    }
}
