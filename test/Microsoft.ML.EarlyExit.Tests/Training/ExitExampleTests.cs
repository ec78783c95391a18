using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Training;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>The rows that exit classifiers are trained on.</summary>
public sealed class ExitExampleTests
{
    private readonly MLContext _context = new(seed: 1);
    private int _read;

    [Theory]
    [InlineData("tiny-v10", 1)]
    [InlineData("tiny-v11", 2)]
    public void Every_token_and_layer_has_its_hidden_state_and_whether_its_token_is_the_last_layer_s(string name, int minimumLayer)
    {
        EarlyExitModel model = TestModels.Model(name);
        int layers = model.Configuration.DecoderLayerCount;
        int width = model.Configuration.ModelDimension;
        IdsRow[] rows = [.. IdsRow.Create(6)];
        IDataView view = View(model, rows, new ExitClassifierOptions { InputColumnName = "Ids", TargetColumnName = "Target", MinimumLayer = minimumLayer });
        int agreeing = 0, checkedLabels = 0;
        using DataViewRowCursor cursor = view.GetRowCursor(view.Schema);
        ValueGetter<VBuffer<float>> getFeatures = cursor.GetGetter<VBuffer<float>>(view.Schema["Features"]);
        ValueGetter<bool> getLabel = cursor.GetGetter<bool>(view.Schema["Label"]);
        ValueGetter<int> getLayer = cursor.GetGetter<int>(view.Schema["Layer"]);
        ValueGetter<int> getPosition = cursor.GetGetter<int>(view.Schema["Position"]);
        ValueGetter<DataViewRowId> getId = cursor.GetIdGetter();
        var ids = new HashSet<DataViewRowId>();
        foreach (IdsRow row in rows)
        {
            float[][] states = HiddenStates.OneByOne(model, row.Ids, row.Target);
            for (int position = 0; position < row.Target.Length; position++)
            {
                (int last, double lastLead) = Likeliest(model, states[layers].AsSpan(position * width, width));
                for (int layer = minimumLayer; layer < layers; layer++)
                {
                    Assert.True(cursor.MoveNext());
                    VBuffer<float> features = default;
                    bool label = false;
                    int foundLayer = 0, foundPosition = 0;
                    DataViewRowId id = default;
                    getFeatures(ref features);
                    getLabel(ref label);
                    getLayer(ref foundLayer);
                    getPosition(ref foundPosition);
                    getId(ref id);
                    Assert.Equal((layer, position), (foundLayer, foundPosition));
                    Assert.True(ids.Add(id));
                    float[] expected = states[layer].AsSpan(position * width, width).ToArray();
                    double allowed = 1e-4 * states[layer].Max(Math.Abs);
                    Assert.All(features.DenseValues().Zip(expected), pair => Assert.Equal(pair.Second, pair.First, allowed));
                    (int token, double lead) = Likeliest(model, expected);

                    // Where two tokens are as likely as each other, rounding decides.
                    if (Math.Min(lead, lastLead) < 1e-4)
                        continue;
                    Assert.Equal(token == last, label);
                    checkedLabels++;
                    agreeing += label ? 1 : 0;
                }
            }
        }

        Assert.False(cursor.MoveNext());
        Assert.Equal(-1, cursor.Position);
        Assert.InRange(agreeing, 5, checkedLabels - 5);
    }

    [Fact]
    public void Nothing_is_read_before_it_is_asked_for_and_the_decoder_runs_only_for_states_and_labels()
    {
        EarlyExitModel model = EarlyExitModel.Load(TestModels.Bundle("tiny-v11"));
        IDataView view = View(model, Count(IdsRow.Create(7)), new ExitClassifierOptions { InputColumnName = "Ids", TargetColumnName = "Target" });
        Assert.Equal(0, _read);
        model.Dispose();

        int expected = IdsRow.Create(7).Sum(row => row.Target.Length) * 4;
        Assert.Equal(expected, view.GetColumn<int>("Layer").Count());
        Assert.Equal(7, _read);
        Assert.Equal(expected, view.GetColumn<int>("Position").Count());
        Assert.Throws<ObjectDisposedException>(() => view.GetColumn<bool>("Label").Count());
        Assert.Throws<ObjectDisposedException>(() => view.GetColumn<float[]>("Features").Count());
    }

    [Fact]
    public void Generated_targets_are_what_the_model_says_at_full_depth()
    {
        EarlyExitModel model = TestModels.Model("tiny-v11");
        var generation = new TextGenerationOptions { MaxNewTokens = 8, BatchSize = 3, Exit = new ExitPolicy { StaticExitLayer = 1 } };
        IdsRow[] rows = [.. IdsRow.Create(9)];
        IReadOnlyList<GenerationResult> results = model.Generate(
            [.. rows.Select(row => GenerationInput.FromTokenIds(row.Ids))], generation with { Exit = null });
        IDataView generated = View(model, rows, new ExitClassifierOptions { InputColumnName = "Ids", GenerationOptions = generation });
        IDataView given = View(
            model, rows.Zip(results, (row, result) => new IdsRow { Ids = row.Ids, Target = [.. result.TokenIds] }),
            new ExitClassifierOptions { InputColumnName = "Ids", TargetColumnName = "Target", GenerationOptions = generation });

        Assert.Equal(given.GetColumn<bool>("Label"), generated.GetColumn<bool>("Label"));
        Assert.Equal(given.GetColumn<float[]>("Features"), generated.GetColumn<float[]>("Features"));
    }

    [Fact]
    public void Texts_and_their_ids_give_the_same_examples()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        TrainingRow[] rows = TrainingRow.Read(2);
        var limits = new TextGenerationOptions { MaxNewTokens = 10 };
        IDataView texts = View(
            model, rows,
            new ExitClassifierOptions { InputColumnName = "Prompt", TargetColumnName = "Reference", MaxTokensPerRow = 3, GenerationOptions = limits });
        IDataView ids = View(
            model, rows,
            new ExitClassifierOptions { InputColumnName = "PromptIds", TargetColumnName = "ReferenceIds", MaxTokensPerRow = 3, GenerationOptions = limits });
        IDataView prefixed = View(
            model, rows.Select(row => new TrainingRow { Prompt = row.Prompt!["describe: ".Length..], Reference = row.Reference }),
            new ExitClassifierOptions
            {
                InputColumnName = "Prompt", TargetColumnName = "Reference", MaxTokensPerRow = 3, GenerationOptions = limits with { Prefix = "describe: " },
            });

        float[][] expected = [.. texts.GetColumn<float[]>("Features")];
        Assert.Equal(2 * 3 * 11, expected.Length);
        Assert.Equal(expected, ids.GetColumn<float[]>("Features"));
        Assert.Equal(expected, prefixed.GetColumn<float[]>("Features"));
        Assert.Equal(texts.GetColumn<bool>("Label"), ids.GetColumn<bool>("Label"));
    }

    [Fact]
    public void Long_inputs_and_targets_are_cut_and_the_log_says_so()
    {
        var warnings = new List<string>();
        _context.Log += (_, log) =>
        {
            lock (warnings)
            {
                if (log.Kind == ChannelMessageKind.Warning)
                    warnings.Add(log.RawMessage);
            }
        };
        IDataView view = View(
            TestModels.Model("tiny-v11"), [new IdsRow { Ids = [5, 1], Target = [6, 1] }, new IdsRow { Ids = [5, 6, 7, 8, 1], Target = [6, 7, 8, 9, 10, 1] }],
            new ExitClassifierOptions
            {
                InputColumnName = "Ids", TargetColumnName = "Target", GenerationOptions = new TextGenerationOptions { MaxInputTokens = 4, MaxNewTokens = 3 },
            });

        Assert.Equal((2 + 3) * 4, view.GetColumn<int>("Layer").Count());
        Assert.Equal(
            [
                "Row 1: the input exceeds MaxInputTokens (4); 1 tokens were cut off its end.",
                "Row 1: the target exceeds MaxNewTokens (3); 3 tokens were cut off its end.",
            ],
            warnings);
    }

    public static TheoryData<int[], int[], string> Unusable => new()
    {
        { [300, 1], [5, 1], "Token id 300 at position 0 is outside the vocabulary" },
        { [5, 1], [6, -1], "Token id -1 at position 1 of the target is outside the vocabulary" },
        { [], [5, 1], "The input has no token ids" },
        { [5, 1], [], "The target has no token ids" },
    };

    [Theory]
    [MemberData(nameof(Unusable))]
    public void A_row_that_cannot_be_used_is_named(int[] input, int[] target, string message)
    {
        IDataView view = View(
            TestModels.Model("tiny-v11"), IdsRow.Create(2).Append(new IdsRow { Ids = input, Target = target }),
            new ExitClassifierOptions { InputColumnName = "Ids", TargetColumnName = "Target" });

        string said = Assert.Throws<InvalidOperationException>(() => view.GetColumn<int>("Layer").Count()).Message;
        Assert.StartsWith("Row 2, counted from 0, cannot be used for training: ", said);
        Assert.Contains(message, said);
    }

    [Theory]
    [InlineData("embedding", 77 * 48, "decoder layer 1")]
    [InlineData("decoder.3.ff.wo", 100, "decoder layer 4")]
    [InlineData("decoder.final_norm", 3, "decoder layer 5")]
    public void Weights_that_are_no_numbers_name_the_row_and_the_layer(string tensor, int element, string layer)
    {
        using var tampered = new TamperedBundle();
        tampered.EditTensor(tensor, element, 1, float.NaN);
        using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);
        IdsRow[] rows = [new() { Ids = [5, 6, 1], Target = [8, 1] }, new() { Ids = [77, 1], Target = [8, 1] }];
        IDataView view = View(model, rows, new ExitClassifierOptions { InputColumnName = "Ids", TargetColumnName = "Target" });

        string said = Assert.Throws<InvalidOperationException>(() => view.GetColumn<bool>("Label").Count()).Message;
        Assert.StartsWith(tensor == "embedding" ? "Row 1," : "Row 0,", said);
        Assert.Contains(layer, said);
    }

    private static (int Token, double Lead) Likeliest(EarlyExitModel model, ReadOnlySpan<float> hidden)
    {
        T5Configuration sizes = model.Configuration;
        double[] logits = new double[sizes.VocabularySize];
        double meanSquare = 0;
        foreach (float value in hidden)
            meanSquare += (double)value * value / hidden.Length;
        for (int token = 0; token < logits.Length; token++)
        {
            for (int index = 0; index < hidden.Length; index++)
                logits[token] += Weight(model.Bundle.Manifest.TensorNames.Head, (token * hidden.Length) + index) * Normed(hidden[index], index);
        }

        int best = Array.IndexOf(logits, logits.Max());
        double largest = logits[best];
        logits[best] = double.NegativeInfinity;
        return (best, largest - logits.Max());

        double Normed(double value, int index) =>
            value / Math.Sqrt(meanSquare + sizes.LayerNormEpsilon) * Weight(model.Bundle.Manifest.TensorNames.DecoderFinalNorm, index) * sizes.HeadScale;

        double Weight(string tensor, int index) => model.Bundle.Tensor(tensor).Floats[index];
    }

    private ExitExampleView View<T>(EarlyExitModel model, IEnumerable<T> rows, ExitClassifierOptions options)
        where T : class
    {
        IHost host = ((IHostEnvironment)_context).Register("test");
        return new ExitExampleView(ExitClassifierTraining.CreateSource(_context, _context.Data.LoadFromEnumerable(rows), options, model, host));
    }

    private IEnumerable<T> Count<T>(IEnumerable<T> rows)
    {
        foreach (T row in rows)
        {
            _read++;
            yield return row;
        }
    }
}
