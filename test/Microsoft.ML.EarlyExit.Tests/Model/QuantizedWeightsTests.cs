using Microsoft.ML.EarlyExit.Conversion;
using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Model.Bundle;
using Microsoft.ML.EarlyExit.Runtime;
using Microsoft.ML.OnnxRuntime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Bundles of whole numbers with scales are the models whose weights are the numbers times their scales.</summary>
[Collection("Native memory")]
public sealed class QuantizedWeightsTests : IDisposable
{
    private static readonly Dictionary<string, ExitPolicy> s_policies = new()
    {
        ["full depth"] = new ExitPolicy { Threshold = 1 },
        ["softmax, state copying"] = new ExitPolicy { MinimumLayer = 2, Threshold = 0.5f },
        ["pruned"] = new ExitPolicy { MinimumLayer = 2, Threshold = 0.8f, Pruning = VocabularyPruning.Fixed(40) },
        ["saturation, parallel decoding"] = new ExitPolicy
        {
            MinimumLayer = 2, Threshold = 0.9f, Confidence = Confidence.HiddenStateSaturation, StatePropagation = StatePropagation.ParallelDecoding,
        },
        ["self-speculation"] = new ExitPolicy { MinimumLayer = 2, Threshold = 0.4f, SelfSpeculation = new SelfSpeculation() },
    };

    private readonly TemporaryFolder _folder = new(Path.GetTempPath());

    public static TheoryData<string, WeightPrecision> Policies =>
    [
        .. from policy in s_policies.Keys
           from precision in (WeightPrecision[])[WeightPrecision.Int8, WeightPrecision.Int4]
           select new TheoryDataRow<string, WeightPrecision>(policy, precision),
    ];

    public static TheoryData<string, WeightPrecision> Models =>
    [
        .. from name in (string[])["tiny-v10", "tiny-v11", "tiny-buckets", TestModels.Demo]
           from precision in (WeightPrecision[])[WeightPrecision.Int8, WeightPrecision.Int4]
           select new TheoryDataRow<string, WeightPrecision>(name, precision),
    ];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Policies))]
    public void Texts_and_exits_are_those_of_the_dequantised_weights(string policy, WeightPrecision precision)
    {
        (string stored, string dequantized) = Convert(TestModels.Exits, precision);
        var options = new TextGenerationOptions { MaxNewTokens = 24, MinNewTokens = 12, BatchSize = 3, Exit = s_policies[policy], Trace = true };
        GenerationInput[] rows = [.. Enumerable.Range(0, 7).Select(row => GenerationInput.FromTokenIds([.. Ids(row), 1]))];
        using EarlyExitModel model = EarlyExitModel.Load(stored);
        using EarlyExitModel copied = EarlyExitModel.Load(stored, new EarlyExitModelOptions { CopyWeights = true });
        using EarlyExitModel reference = EarlyExitModel.Load(dequantized);
        IReadOnlyList<GenerationResult> expected = reference.Generate(rows, options, TestContext.Current.CancellationToken);
        Assert.All([model, copied], one =>
        {
            IReadOnlyList<GenerationResult> results = one.Generate(rows, options, TestContext.Current.CancellationToken);
            for (int row = 0; row < rows.Length; row++)
            {
                Assert.Null(results[row].Error);
                Assert.Equal(expected[row].TokenIds, results[row].TokenIds);
                Assert.Equal(expected[row].ExitLayers, results[row].ExitLayers);
                Assert.Equal(expected[row].Confidences, results[row].Confidences);
            }
        });

        static IEnumerable<int> Ids(int row) => Enumerable.Range(1, 4 + (3 * row)).Select(id => 5 + (id * (row + 3) % 900));
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Hidden_states_are_those_of_the_dequantised_weights_and_other_tools_see_the_same(string name, WeightPrecision precision)
    {
        (string stored, string dequantized) = Convert(name, precision);
        using EarlyExitModel model = EarlyExitModel.Load(stored);
        using EarlyExitModel reference = EarlyExitModel.Load(dequantized);
        float[][] expected = States(reference, reference.Sessions.Encoder, reference.Sessions.TeacherForcedDecoder);
        using var encoder = new InferenceSession(Path.Combine(stored, "encoder.onnx"));
        using var decoder = new InferenceSession(Path.Combine(stored, "decoder-teacher-forced.onnx"));
        float[][] own = States(model, model.Sessions.Encoder, model.Sessions.TeacherForcedDecoder);
        float[][] theirs = States(model, encoder, decoder);
        for (int layer = 0; layer < expected.Length; layer++)
        {
            double largest = expected[layer].Max(Math.Abs);
            Assert.Equal(expected[layer], own[layer]);
            for (int index = 0; index < expected[layer].Length; index++)
                Assert.Equal(expected[layer][index], theirs[layer][index], 1e-4 * largest);
        }
    }

    /// <summary>For every layer, the embedding first: [positions, d].</summary>
    private static float[][] States(EarlyExitModel model, InferenceSession encoder, InferenceSession decoder)
    {
        int[] inputIds = [7, 250, 33, 12, 1];
        using var run = new RunOptions();
        using EncodedInput input = EncodedInput.Encode(encoder, inputIds, model.Configuration.ModelDimension, run);
        using OrtValue ids = OrtValue.CreateTensorValueFromMemory<long>([0, 9, 81, 5], [1, 4]);
        using OrtValue mask = OrtValue.CreateTensorValueFromMemory<long>([1, 1, 1, 1, 1], [1, inputIds.Length]);
        float[] encoded = input.Hidden.GetTensorDataAsSpan<float>().ToArray();
        using OrtValue hidden = OrtValue.CreateTensorValueFromMemory(encoded, [1, inputIds.Length, model.Configuration.ModelDimension]);
        string[] names = [.. Enumerable.Range(0, model.Configuration.DecoderLayerCount + 1).Select(GraphContract.HiddenStates)];
        using IDisposableReadOnlyCollection<OrtValue> outputs = decoder.Run(
            run, [GraphContract.DecoderInputIds, GraphContract.EncoderOutput, GraphContract.EncoderAttentionMask], [ids, hidden, mask], names);
        return [.. outputs.Select(output => output.GetTensorDataAsSpan<float>().ToArray())];
    }

    /// <summary>The bundle that stores a checkpoint's matrices as whole numbers, and the one of the weights that these stand for.</summary>
    private (string Stored, string Dequantized) Convert(string name, WeightPrecision precision)
    {
        string stored = Path.Combine(_folder.Path, "stored");
        string dequantized = Path.Combine(_folder.Path, "dequantized");
        T5Converter.Convert(TestModels.Checkpoint(name), stored, new T5ConversionOptions { Weights = precision });
        DequantizedBundle.Write(TestModels.Checkpoint(name), stored, dequantized);
        return (stored, dequantized);
    }
}
