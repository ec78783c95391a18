using System.Reflection;
using Microsoft.ML.Data;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class GeneratedColumnTests
{
    private static readonly TextGenerationOptions s_options = new()
    {
        MaxNewTokens = 12,
        BatchSize = 2,
        Exit = new ExitPolicy { MinimumLayer = 4, Threshold = 0.8f },
    };

    private readonly MLContext _context = new(seed: 1);

    [Fact]
    public void Every_column_holds_what_the_model_returns()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        DemoRow[] rows = DemoRow.Create(5);
        IDataView data = _context.Data.LoadFromEnumerable(rows);
        using TextGenerationTransformer transformer = AllColumns(model, s_options).Fit(data);

        AllOutputs[] outputs = [.. _context.Data.CreateEnumerable<AllOutputs>(transformer.Transform(data), reuseRowObject: false)];
        using var engine = _context.Model.CreatePredictionEngine<DemoRow, AllOutputs>(transformer);

        for (int row = 0; row < rows.Length; row++)
        {
            GenerationResult expected = model.Generate(rows[row].Prompt!, s_options, TestContext.Current.CancellationToken);
            AssertHolds(expected, outputs[row]);
            AssertHolds(expected, engine.Predict(rows[row]));
        }
    }

    [Fact]
    public void Columns_stand_alone()
    {
        IDataView data = _context.Data.LoadFromEnumerable(DemoRow.Create(2));
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        using TextGenerationTransformer transformer = _context.Transforms.Text
            .GenerateText(new() { InputColumnName = "Prompt", Model = model, GenerationOptions = s_options, ConfidencesColumnName = "Sure" }).Fit(data);

        IDataView output = transformer.Transform(data);

        Assert.Equal(["Prompt", "Number", "Numbers", "Name", "Key", "Sure"], output.Schema.Select(column => column.Name));
        Assert.Equal(
            DemoRow.Create(2).Select(row => model.Generate(row.Prompt!, s_options, TestContext.Current.CancellationToken).Confidences),
            output.GetColumn<float[]>("Sure"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Ids_in_give_what_the_text_gives(bool isFixedLength)
    {
        EarlyExitModel model = TestModels.Model(TestModels.Demo);
        string[] prompts = [.. DemoRow.Create(3).Select(row => "describe: " + row.Prompt)];
        int[][] ids = [.. prompts.Select(prompt => model.Tokenizer!.Encode(prompt).ToArray())];
        if (isFixedLength)
            (prompts, ids) = ([prompts[0], prompts[0], prompts[0]], [ids[0], ids[0], ids[0]]);
        SchemaDefinition schema = SchemaDefinition.Create(typeof(IdsRow));
        schema["Ids"].ColumnType = isFixedLength
            ? new VectorDataViewType(NumberDataViewType.Int32, ids[0].Length)
            : new VectorDataViewType(NumberDataViewType.Int32);
        IDataView data = _context.Data.LoadFromEnumerable(ids.Select(row => new IdsRow { Ids = row }), schema);
        // The prefix is for texts.
        using TextGenerationTransformer transformer = _context.Transforms.Text
            .GenerateText("Text", "Ids", model, s_options with { Prefix = "describe: " }).Fit(data);

        Assert.Equal(
            prompts.Select(prompt => model.Generate(prompt, s_options, TestContext.Current.CancellationToken).Text),
            transformer.Transform(data).GetColumn<string>("Text"));
    }

    [Fact]
    public void A_model_without_tokenizer_takes_ids_and_gives_ids()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        IDataView ids = _context.Data.LoadFromEnumerable([new IdsRow { Ids = [5, 6, 7, 1] }, new IdsRow { Ids = [9, 1] }]);
        IDataView texts = _context.Data.LoadFromEnumerable(DemoRow.Create(1));
        TextGenerationEstimator estimator = _context.Transforms.Text
            .GenerateText(new() { InputColumnName = "Ids", Model = model, GenerationOptions = s_options, TokenIdsColumnName = "Out" });
        using TextGenerationTransformer transformer = estimator.Fit(ids);

        Assert.Equal(
            model.Generate([GenerationInput.FromTokenIds([5, 6, 7, 1]), GenerationInput.FromTokenIds([9, 1])], s_options, TestContext.Current.CancellationToken)
                .Select(result => result.TokenIds),
            transformer.Transform(ids).GetColumn<int[]>("Out"));

        TextGenerationEstimator noTextOut = _context.Transforms.Text.GenerateText("Text", "Ids", model);
        Assert.Contains("tokenIdsColumnName", Assert.Throws<InvalidModelException>(() => noTextOut.Fit(ids)).Message, StringComparison.Ordinal);
        TextGenerationEstimator noTextIn = _context.Transforms.Text.GenerateText(
            new() { InputColumnName = "Prompt", Model = model, TokenIdsColumnName = "Out" });
        Assert.Contains("'Prompt'", Assert.Throws<InvalidModelException>(() => noTextIn.Fit(texts)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Other_types_of_input_are_refused()
    {
        TextGenerationEstimator estimator = _context.Transforms.Text.GenerateText("Text", "Column", TestModels.Model(TestModels.Demo));
        DataViewType[] refused =
        [
            NumberDataViewType.Int32, NumberDataViewType.Single, new VectorDataViewType(TextDataViewType.Instance),
            new VectorDataViewType(NumberDataViewType.Single, 3),
            new VectorDataViewType(NumberDataViewType.Int64), new KeyDataViewType(typeof(uint), 5),
            new VectorDataViewType(new KeyDataViewType(typeof(uint), 5)),
        ];
        foreach (DataViewType type in refused)
        {
            var builder = new DataViewSchema.Builder();
            builder.AddColumn("Column", type);
            DataViewSchema schema = builder.ToSchema();
            Assert.Contains(
                "Schema mismatch",
                Assert.Throws<ArgumentOutOfRangeException>(() => estimator.GetOutputSchema(Shape(schema))).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void The_shape_promised_is_the_shape_that_comes()
    {
        IDataView data = _context.Data.LoadFromEnumerable(DemoRow.Create(1));
        TextGenerationEstimator estimator = AllColumns(TestModels.Model(TestModels.Demo), s_options);
        using TextGenerationTransformer transformer = estimator.Fit(data);

        // Of hidden columns a shape knows nothing.
        SchemaShape promised = estimator.GetOutputSchema(Shape(data.Schema));
        SchemaShape actual = Shape(transformer.GetOutputSchema(data.Schema));

        Assert.Equal(Describe(actual), Describe(promised));
        VBuffer<ReadOnlyMemory<char>> slots = default;
        transformer.GetOutputSchema(data.Schema)["Operations"].GetSlotNames(ref slots);
        Assert.Equal(
            typeof(OperationCounts).GetProperties().Where(property => property.SetMethod is not null).Select(property => property.Name),
            slots.DenseValues().Select(slot => slot.ToString()));
        Assert.Equal(transformer.GetOutputSchema(data.Schema).Select(column => column.Type), transformer.Transform(data).Schema.Select(column => column.Type));
    }

    [Fact]
    public void A_missing_value_of_ids_is_an_error_of_its_row()
    {
        EarlyExitModel model = TestModels.Model(TestModels.Exits);
        IDataView ids = _context.Data.LoadFromEnumerable([new IdsRow { Ids = [] }, new IdsRow { Ids = [5, 99_999_999] }, new IdsRow { Ids = [5, 1] }]);
        var warnings = new List<string>();
        _context.Log += (_, log) =>
        {
            if (log.Kind == Microsoft.ML.Runtime.ChannelMessageKind.Warning)
                warnings.Add(log.RawMessage);
        };
        using TextGenerationTransformer transformer = _context.Transforms.Text
            .GenerateText(
                new() { InputColumnName = "Ids", Model = model, GenerationOptions = s_options, TokenIdsColumnName = "Out", StopReasonColumnName = "Why" })
            .Fit(ids);

        string[] reasons = [.. transformer.Transform(ids).GetColumn<string>("Why")];

        Assert.Equal(["Error", "Error"], reasons[..2]);
        Assert.NotEqual("Error", reasons[2]);
        Assert.Equal([0, 0], transformer.Transform(ids).GetColumn<int[]>("Out").Take(2).Select(row => row.Length));
        Assert.Contains(
            warnings, message => message.StartsWith("Row 0,", StringComparison.Ordinal) && message.Contains("no token ids", StringComparison.Ordinal));
        Assert.Contains(warnings, message => message.StartsWith("Row 1,", StringComparison.Ordinal) && message.Contains("99999999", StringComparison.Ordinal));
    }

    private static void AssertHolds(GenerationResult expected, AllOutputs actual)
    {
        Assert.Equal(expected.Text, actual.Text);
        Assert.Equal(expected.TokenIds, actual.Ids);
        Assert.Equal(expected.ExitLayers, actual.Layers);
        Assert.Equal(expected.Confidences, actual.Sure);
        Assert.Equal(expected.StopReason, Enum.Parse<StopReason>(actual.Why));
        OperationCounts counts = expected.Operations;
        Assert.Equal([counts.Decoder, counts.StatePropagation, counts.Confidence, counts.Head, counts.Paper], actual.Operations);
    }

    private static SchemaShape Shape(DataViewSchema schema) =>
        (SchemaShape)typeof(SchemaShape).GetMethod("Create", BindingFlags.Static | BindingFlags.NonPublic)!.Invoke(null, [schema])!;

    private static List<string> Describe(SchemaShape shape) =>
        [.. shape.Select(column => $"{column.Name} {column.Kind} {column.ItemType} {column.IsKey} ({string.Join(", ", Describe(column.Annotations))})")
            .Order()];

    private TextGenerationEstimator AllColumns(EarlyExitModel model, TextGenerationOptions options) =>
        _context.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
        {
            OutputColumnName = "Text",
            InputColumnName = "Prompt",
            Model = model,
            GenerationOptions = options,
            TokenIdsColumnName = "Ids",
            ExitLayersColumnName = "Layers",
            ConfidencesColumnName = "Sure",
            StopReasonColumnName = "Why",
            OperationCountsColumnName = "Operations",
        });

    private sealed class IdsRow
    {
        public int[] Ids { get; set; } = [];
    }

    private sealed class AllOutputs
    {
        public string Text { get; set; } = "";

        public int[] Ids { get; set; } = [];

        public int[] Layers { get; set; } = [];

        public float[] Sure { get; set; } = [];

        public string Why { get; set; } = "";

        [VectorType(5)]
        public long[] Operations { get; set; } = [];
    }
}
