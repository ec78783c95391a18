using System.Text.Json;
using Microsoft.ML.EarlyExit.Generation;
using Microsoft.ML.EarlyExit.Memory;
using Microsoft.ML.EarlyExit.Onnx;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Whole targets at once against the decoding loop's blocks, token by token.</summary>
[Collection("Native memory")]
public sealed class TeacherForcedDecoderTests
{
    private static readonly int[] s_inputIds = [5, 6, 7, 8, 1];

    [Theory]
    [InlineData("tiny-v10")]
    [InlineData("tiny-v11")]
    [InlineData("tiny-sharded")]
    [InlineData("tiny-buckets")]
    public void Hidden_states_of_every_layer_are_those_of_decoding_the_same_tokens(string name)
    {
        using JsonDocument cases = JsonDocument.Parse(File.ReadAllBytes(TestModels.Fixture("hf-t5", name, "cases.json")));
        JsonElement differences = cases.RootElement.GetProperty("max_abs_difference_to_float64");

        // The start token takes the place of the last.
        Compare(
            TestModels.Model(name), [17, 5, 200, 31, 9, 17, 17, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 1],
            (layer, _) => (10 * differences.GetProperty($"h{layer}").GetDouble()) + 1e-5);
    }

    [Fact]
    public void So_they_are_on_the_demo_model() => Compare(
        TestModels.Model(TestModels.Demo), [.. TestModels.Model(TestModels.Demo).Tokenizer!.Encode("Aromi is a coffee shop in the city centre.")],
        (_, largest) => 1e-5 * largest);

    [Fact]
    public void Rows_of_other_lengths_before_do_not_matter()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        using var run = new RunOptions();
        using EncodedInput input = EncodedInput.Encode(model.Sessions.Encoder, s_inputIds, model.Configuration.ModelDimension, run);
        using var decoder = new TeacherForcedDecoder(model.Sessions, model.Configuration, run);
        decoder.Decode(input, [17, 5, 1]);
        float[] expected = decoder.Hidden(model.Configuration.DecoderLayerCount).ToArray();
        Assert.Equal(3 * model.Configuration.ModelDimension, expected.Length);

        decoder.Decode(input, [9, 8, 7, 6, 5, 4, 3, 1]);
        Assert.Equal(8, decoder.PositionCount);
        decoder.Decode(input, [1]);
        decoder.Decode(input, [17, 5, 1]);

        Assert.Equal(expected, decoder.Hidden(model.Configuration.DecoderLayerCount).ToArray());
    }

    [Theory]
    [InlineData("an output missing")]
    [InlineData("an output of another width")]
    [InlineData("an input renamed")]
    public void A_graph_that_breaks_the_contract_is_refused(string breach)
    {
        using var tampered = new TamperedBundle();
        tampered.EditGraph("decoder-teacher-forced.onnx", model => _ = breach switch
        {
            "an output missing" => model.Graph.Output.Remove(model.Graph.Output[2]) ? "" : "",
            "an output of another width" => $"{model.Graph.Output[1].Type.TensorType.Shape.Dim[2].DimValue = 96}",
            _ => model.Graph.Input[0].Name = "ids",
        });
        using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);

        Assert.Contains("decoder-teacher-forced.onnx", Assert.Throws<InvalidModelException>(model.StartTeacherForcing).Message);
    }

    [Fact]
    public void A_run_keeps_its_model_and_leaves_nothing_behind()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = NativeBuffer.LiveBytes;
        EarlyExitModel model = EarlyExitModel.Load(TestModels.Bundle(TestModels.Exits));
        using (TeacherForcedRun run = model.StartTeacherForcing())
        {
            model.Dispose();
            Assert.Null(run.Decode(s_inputIds, [17, 5, 1], RowMemory.DefaultLimit));
            int[] ids = new int[3];
            run.ArgMax(1, [0, 1, 2], ids);
            Assert.All(ids, id => Assert.InRange(id, 0, model.Configuration.VocabularySize - 1));
        }

        Assert.Equal(before, NativeBuffer.LiveBytes);
        Assert.Throws<ObjectDisposedException>(model.StartTeacherForcing);
    }

    private static void Compare(EarlyExitModel model, int[] target, Func<int, double, double> tolerance)
    {
        int layers = model.Configuration.DecoderLayerCount;
        float[][] expected = HiddenStates.OneByOne(model, s_inputIds, target);
        using var run = new RunOptions();
        using EncodedInput input = EncodedInput.Encode(model.Sessions.Encoder, s_inputIds, model.Configuration.ModelDimension, run);
        using var decoder = new TeacherForcedDecoder(model.Sessions, model.Configuration, run);
        decoder.Decode(input, target);
        Assert.Equal(target.Length, decoder.PositionCount);
        for (int layer = 0; layer <= layers; layer++)
        {
            ReadOnlySpan<float> actual = decoder.Hidden(layer);
            Assert.Equal(expected[layer].Length, actual.Length);
            double allowed = tolerance(layer, expected[layer].Max(Math.Abs));
            for (int index = 0; index < actual.Length; index++)
            {
                double difference = Math.Abs(expected[layer][index] - actual[index]);
                Assert.True(difference <= allowed, $"layer {layer}, element {index}: {difference} is more than {allowed}");
            }
        }
    }
}
