using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Interop;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.Runtime;

namespace Microsoft.ML.EarlyExit.Tests;

public sealed class TextGenerationTests : IDisposable
{
    private static readonly TextGenerationOptions s_options = new() { Prefix = "describe: ", MaxNewTokens = 6 };

    private readonly MLContext _context = new(seed: 1);
    private readonly EarlyExitModel _model = EarlyExitModel.Load(TestModels.Bundle(TestModels.Demo));
    private readonly List<string> _generated = [];
    private readonly List<string> _warnings = [];

    public TextGenerationTests()
    {
        _context.Log += (_, log) =>
        {
            lock (_generated)
            {
                if (log.Kind == ChannelMessageKind.Warning)
                    _warnings.Add(log.Message);
                else if (log.RawMessage.StartsWith("Generated row", StringComparison.Ordinal))
                    _generated.Add(log.RawMessage);
            }
        };
    }

    public void Dispose() => _model.Dispose();

    [Fact]
    public void Every_row_is_what_the_model_generates_for_it()
    {
        DemoRow[] rows = DemoRow.Create(3);
        using TextGenerationTransformer transformer = Pipeline(s_options).Fit(Load(rows));

        DemoOutput[] outputs = Read(transformer.Transform(Load(rows)));

        Assert.Equal(rows.Select(row => _model.Generate(row.Prompt!, s_options).Text), outputs.Select(output => output.Text));
        Assert.Equal(rows.Select(row => _model.Generate(row.Prompt!, s_options).ExitLayers), outputs.Select(output => output.Layers));
        Assert.Equal(rows.Select(row => row.Name), outputs.Select(output => output.Name));
    }

    [Fact]
    public void The_bundle_can_be_named_by_its_path()
    {
        DemoRow[] rows = DemoRow.Create(2);
        var estimator = _context.Transforms.Text.GenerateText("Text", "Prompt", modelPath: TestModels.Bundle(TestModels.Demo), s_options);
        using TextGenerationTransformer transformer = estimator.Fit(Load(rows));

        Assert.Equal(
            rows.Select(row => _model.Generate(row.Prompt!, s_options).Text),
            transformer.Transform(Load(rows)).GetColumn<string>("Text"));
    }

    [Fact]
    public void Without_an_input_column_the_output_column_is_read_and_replaced()
    {
        DemoRow[] rows = DemoRow.Create(2);
        using TextGenerationTransformer transformer = _context.Transforms.Text.GenerateText("Prompt", null, _model, s_options).Fit(Load(rows));

        Assert.Equal(
            rows.Select(row => _model.Generate(row.Prompt!, s_options).Text),
            transformer.Transform(Load(rows)).GetColumn<string>("Prompt"));
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(7)]
    [InlineData(100)]
    public void Reading_ahead_changes_nothing(int batchSize)
    {
        IDataView data = Load(DemoRow.Create(7));
        using TextGenerationTransformer one = Pipeline(s_options).Fit(data);
        using TextGenerationTransformer several = Pipeline(s_options with { BatchSize = batchSize }).Fit(data);

        List<string> expected = Dump(one.Transform(data));
        int before = _generated.Count;
        List<string> actual = Dump(several.Transform(data));

        Assert.Equal(7, expected.Count);
        Assert.Equal(expected, actual);
        Assert.Equal(7, _generated.Count - before);
    }

    [Fact]
    public void A_shuffled_cursor_keeps_rows_together()
    {
        DemoRow[] rows = DemoRow.Create(20);
        IDataView data = _context.Data.Cache(Load(rows));
        using TextGenerationTransformer transformer = Pipeline(s_options with { BatchSize = 3 }).Fit(data);
        IDataView output = transformer.Transform(data);
        string?[] expected = [.. rows.Select(row => _model.Generate(row.Prompt!, s_options).Text)];

        Assert.True(output.CanShuffle);
        var numbers = new List<int>();
        using DataViewRowCursor cursor = output.GetRowCursor([output.Schema["Number"], output.Schema["Text"]], new Random(3));
        ValueGetter<int> getNumber = cursor.GetGetter<int>(output.Schema["Number"]);
        ValueGetter<ReadOnlyMemory<char>> getText = cursor.GetGetter<ReadOnlyMemory<char>>(output.Schema["Text"]);
        while (cursor.MoveNext())
        {
            int number = 0;
            ReadOnlyMemory<char> text = default;
            getNumber(ref number);
            getText(ref text);
            Assert.Equal(expected[number], text.ToString());
            numbers.Add(number);
        }

        Assert.NotEqual(Enumerable.Range(0, 20), numbers);
        Assert.Equal(Enumerable.Range(0, 20), numbers.Order());
    }

    [Fact]
    public void Two_cursors_of_one_view_do_not_disturb_each_other()
    {
        DemoRow[] rows = DemoRow.Create(5);
        IDataView data = Load(rows);
        using TextGenerationTransformer transformer = Pipeline(s_options with { BatchSize = 2 }).Fit(data);
        IDataView output = transformer.Transform(data);
        string?[] expected = [.. rows.Select(row => _model.Generate(row.Prompt!, s_options).Text)];

        using DataViewRowCursor first = output.GetRowCursor(output.Schema);
        using DataViewRowCursor second = output.GetRowCursor(output.Schema);
        ValueGetter<ReadOnlyMemory<char>> getFirst = first.GetGetter<ReadOnlyMemory<char>>(output.Schema["Text"]);
        ValueGetter<ReadOnlyMemory<char>> getSecond = second.GetGetter<ReadOnlyMemory<char>>(output.Schema["Text"]);
        ReadOnlyMemory<char> text = default;
        Assert.True(second.MoveNext());
        for (int i = 0; i < 4; i++)
        {
            Assert.True(first.MoveNext());
            Assert.True(second.MoveNext());
            getFirst(ref text);
            Assert.Equal(expected[i], text.ToString());
            getSecond(ref text);
            Assert.Equal(expected[i + 1], text.ToString());
        }

        Assert.False(second.MoveNext());
        Assert.False(second.MoveNext());
        Assert.Equal(-1, second.Position);
        Assert.Throws<InvalidOperationException>(() => getSecond(ref text));
        Assert.True(first.MoveNext());
    }

    [Fact]
    public void Several_threads_share_a_transformer()
    {
        DemoRow[] rows = DemoRow.Create(6);
        IDataView data = Load(rows);
        using TextGenerationTransformer transformer = Pipeline(s_options with { BatchSize = 4 }).Fit(data);
        List<string> expected = Dump(transformer.Transform(data));
        var results = new List<string>[4];

        Parallel.For(0, results.Length, i => results[i] = Dump(transformer.Transform(Load(rows))));

        Assert.All(results, result => Assert.Equal(expected, result));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void The_model_does_not_run_unless_a_generated_column_is_read(int batchSize)
    {
        IDataView data = Load(DemoRow.Create(5));
        using TextGenerationTransformer transformer = Pipeline(s_options with { BatchSize = batchSize }).Fit(data);
        DataViewSchema schema = transformer.GetOutputSchema(data.Schema);
        IDataView output = transformer.Transform(data);

        Assert.Equal(["Prompt", "Number", "Numbers", "Name", "Key", "Text", "Layers"], schema.Select(column => column.Name));
        Assert.Equal(TextDataViewType.Instance, schema["Text"].Type);
        Assert.Equal(new VectorDataViewType(NumberDataViewType.Int32), schema["Layers"].Type);
        Assert.Equal(Enumerable.Range(0, 5), output.GetColumn<int>("Number"));
        Assert.Equal(5, output.GetRowCount());

        // Active, but never read.
        using (DataViewRowCursor cursor = output.GetRowCursor(output.Schema))
        {
            cursor.GetGetter<ReadOnlyMemory<char>>(output.Schema["Text"]);
            while (cursor.MoveNext())
            {
            }
        }

        Assert.Empty(_generated);
        Assert.Equal(5, output.GetColumn<string>("Text").Count());
        Assert.NotEmpty(_generated);
    }

    [Fact]
    public void A_column_that_is_not_asked_for_is_not_active()
    {
        IDataView data = Load(DemoRow.Create(1));
        using TextGenerationTransformer transformer = Pipeline(s_options with { BatchSize = 2 }).Fit(data);
        IDataView output = transformer.Transform(data);
        using DataViewRowCursor cursor = output.GetRowCursor([output.Schema["Text"]]);

        Assert.True(cursor.IsColumnActive(output.Schema["Text"]));
        Assert.False(cursor.IsColumnActive(output.Schema["Layers"]));
        Assert.False(cursor.IsColumnActive(output.Schema["Prompt"]));
        Assert.Throws<InvalidOperationException>(() => cursor.GetGetter<ReadOnlyMemory<char>>(output.Schema["Prompt"]));
        Assert.Throws<InvalidOperationException>(() => cursor.GetGetter<int>(output.Schema["Text"]));
    }

    [Fact]
    public void Columns_that_cannot_be_buffered_are_passed_through_row_by_row()
    {
        BlobRow[] rows = [.. Enumerable.Range(0, 4).Select(i => new BlobRow { Prompt = $"name[{i}]", Blob = new Blob { Value = i } })];
        IDataView data = _context.Data.LoadFromEnumerable(rows);
        using TextGenerationTransformer transformer = Pipeline(s_options with { BatchSize = 4 }).Fit(data);
        IDataView output = transformer.Transform(data);

        var seen = new List<(int, string)>();
        using DataViewRowCursor cursor = output.GetRowCursor(output.Schema);
        ValueGetter<Blob> getBlob = cursor.GetGetter<Blob>(output.Schema["Blob"]);
        ValueGetter<ReadOnlyMemory<char>> getText = cursor.GetGetter<ReadOnlyMemory<char>>(output.Schema["Text"]);
        while (cursor.MoveNext())
        {
            Blob blob = null!;
            ReadOnlyMemory<char> text = default;
            getBlob(ref blob);
            getText(ref text);
            seen.Add((blob.Value, text.ToString()));
        }

        Assert.Equal(rows.Select(row => (row.Blob.Value, _model.Generate(row.Prompt, s_options).Text!)), seen);
        Assert.Equal(4, _generated.Count);

        // Not active, it is no hindrance.
        _generated.Clear();
        Assert.Equal(4, output.GetColumn<string>("Text").Count());
        Assert.Equal(4, _generated.Count);
    }

    [Fact]
    public void A_prediction_engine_generates_once_for_all_columns_of_a_row()
    {
        DemoRow[] rows = DemoRow.Create(3);
        using TextGenerationTransformer transformer = Pipeline(s_options with { BatchSize = 8 }).Fit(Load(rows));
        using PredictionEngine<DemoRow, DemoOutput> engine = _context.Model.CreatePredictionEngine<DemoRow, DemoOutput>(transformer);

        foreach (DemoRow row in rows)
        {
            GenerationResult expected = _model.Generate(row.Prompt!, s_options);
            DemoOutput output = engine.Predict(row);
            Assert.Equal(expected.Text, output.Text);
            Assert.Equal(expected.ExitLayers, output.Layers);
            Assert.Equal(row.Name, output.Name);
        }

        Assert.Equal(3, _generated.Count);
    }

    [Fact]
    public void It_composes_with_transforms_before_and_after_it()
    {
        DemoRow[] rows = DemoRow.Create(4);
        IDataView data = Load(rows);
        var pipeline = _context.Transforms.CopyColumns("Copy", "Prompt")
            .Append(_context.Transforms.Text.GenerateText("Text", "Copy", _model, s_options with { BatchSize = 3 }))
            .Append(_context.Transforms.Text.TokenizeIntoWords("Words", "Text"))
            .AppendCacheCheckpoint(_context)
            .Append(_context.Transforms.Text.FeaturizeText("Features", "Text"));

        using var model = pipeline.Fit(data);
        IDataView output = model.Transform(data);

        Assert.Equal(
            rows.Select(row => _model.Generate(row.Prompt!, s_options).Text!.Split(' ', StringSplitOptions.RemoveEmptyEntries)),
            output.GetColumn<string[]>("Words").Select(words => words ?? []));
        Assert.Equal(4, output.GetColumn<float[]>("Features").Count());
        using var engine = _context.Model.CreatePredictionEngine<DemoRow, WordsOutput>(model);
        Assert.Equal(output.GetColumn<string[]>("Words").First(), engine.Predict(rows[0]).Words);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void A_row_that_cannot_be_generated_is_named_and_does_not_disturb_the_others(int batchSize)
    {
        DemoRow[] rows = DemoRow.Create(4);
        rows[2].Prompt = string.Join(' ', Enumerable.Repeat("food[Indian]", 100));
        TextGenerationOptions options = s_options with { BatchSize = batchSize, MaxInputTokens = 100, Truncate = false };
        using TextGenerationTransformer transformer = Pipeline(options).Fit(Load(rows));
        IDataView output = transformer.Transform(Load(rows));

        using DataViewRowCursor cursor = output.GetRowCursor(output.Schema);
        ValueGetter<ReadOnlyMemory<char>> getText = cursor.GetGetter<ReadOnlyMemory<char>>(output.Schema["Text"]);
        ReadOnlyMemory<char> text = default;
        for (int i = 0; i < 4; i++)
        {
            Assert.True(cursor.MoveNext());
            if (i == 2)
            {
                string message = Assert.Throws<InvalidOperationException>(() => getText(ref text)).Message;
                Assert.StartsWith("Row 2,", message, StringComparison.Ordinal);
                continue;
            }

            getText(ref text);
            Assert.Equal(_model.Generate(rows[i].Prompt!, options).Text, text.ToString());
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void A_cut_input_is_a_warning_that_names_the_row(int batchSize)
    {
        DemoRow[] rows = DemoRow.Create(3);
        rows[1].Prompt = string.Join(' ', Enumerable.Repeat("food[Indian]", 100));
        using TextGenerationTransformer transformer = Pipeline(s_options with { BatchSize = batchSize, MaxInputTokens = 100 }).Fit(Load(rows));

        Read(transformer.Transform(Load(rows)));

        string warning = Assert.Single(_warnings, message => message.Contains("MaxInputTokens", StringComparison.Ordinal));
        Assert.Contains("Row 1:", warning, StringComparison.Ordinal);
    }

    [Fact]
    public void A_schema_without_a_text_to_generate_from_is_refused()
    {
        IDataView data = Load(DemoRow.Create(1));
        TextGenerationEstimator missing = _context.Transforms.Text.GenerateText("Text", "Absent", _model);
        TextGenerationEstimator wrong = _context.Transforms.Text.GenerateText("Text", "Number", _model);
        using TextGenerationTransformer transformer = Pipeline(s_options).Fit(data);
        IDataView other = _context.Data.LoadFromEnumerable([new NumberRow()]);

        Assert.Contains("Could not find input column 'Absent'", Refusal(() => missing.Fit(data)), StringComparison.Ordinal);
        Assert.Contains(
            "Schema mismatch for input column 'Number': expected String, or a vector of Int32 (token ids), got Int32",
            Refusal(() => wrong.Fit(data)), StringComparison.Ordinal);
        Assert.Contains("got Single", Refusal(() => transformer.Transform(other)), StringComparison.Ordinal);
        Assert.Contains("got Single", Refusal(() => transformer.GetOutputSchema(other.Schema)), StringComparison.Ordinal);

        static string Refusal(Action action) => Assert.Throws<ArgumentOutOfRangeException>(action).Message;
    }

    [Fact]
    public void Shapes_of_schemas_are_propagated_without_a_model()
    {
        var shape = new SchemaShape([MLNetInterop.CreateColumn("Prompt", SchemaShape.Column.VectorKind.Scalar, TextDataViewType.Instance)]);
        var options = new TextGenerationEstimator.Options
        {
            OutputColumnName = "Text",
            InputColumnName = "Prompt",
            ModelPath = "absent",
            ExitLayersColumnName = "Layers",
        };
        TextGenerationEstimator estimator = _context.Transforms.Text.GenerateText(options);

        SchemaShape output = estimator.GetOutputSchema(shape);

        Assert.Equal(["Prompt", "Text", "Layers"], output.Select(column => column.Name));
        Assert.Equal(["Scalar", "Scalar", "VariableVector"], output.Select(column => column.Kind.ToString()));
        Assert.Equal([TextDataViewType.Instance, TextDataViewType.Instance, NumberDataViewType.Int32], output.Select(column => column.ItemType));
        var missing = Assert.Throws<ArgumentOutOfRangeException>(() => estimator.GetOutputSchema(new SchemaShape([])));
        Assert.Contains("Could not find input column 'Prompt'", missing.Message, StringComparison.Ordinal);
        var words = _context.Transforms.Text.TokenizeIntoWords("Words", "Prompt").Append(_context.Transforms.Text.GenerateText("Text", "Words", "absent"));
        Assert.Contains("VarVector<String>", Assert.Throws<ArgumentOutOfRangeException>(() => words.GetOutputSchema(shape)).Message, StringComparison.Ordinal);
        Assert.ThrowsAny<Exception>(() => estimator.Fit(Load(DemoRow.Create(1))));
    }

    [Fact]
    public void Options_that_cannot_be_are_refused_where_they_are_given()
    {
        TransformsCatalog.TextTransforms catalog = _context.Transforms.Text;
        Assert.ThrowsAny<ArgumentException>(() => catalog.GenerateText("", "Prompt", _model));
        Assert.ThrowsAny<ArgumentException>(() => catalog.GenerateText(null!, "Prompt", _model));
        Assert.ThrowsAny<ArgumentException>(() => catalog.GenerateText("Text", "Prompt", modelPath: " "));
        Assert.ThrowsAny<ArgumentException>(() => catalog.GenerateText("Text", "Prompt", (EarlyExitModel)null!));
        Refused("two columns", new() { OutputColumnName = "Text", InputColumnName = "Prompt", Model = _model, ExitLayersColumnName = "Text" });
        Refused("outputColumnName", new() { InputColumnName = "Prompt", Model = _model });
        Refused("inputColumnName", new() { TokenIdsColumnName = "Ids", Model = _model });
        Refused("stopReasonColumnName", new() { OutputColumnName = "Text", Model = _model, StopReasonColumnName = " " });
        Refused("ModelPath", new() { OutputColumnName = "Text" });
        Refused("ModelPath", new() { OutputColumnName = "Text", Model = _model, ModelPath = "t5" });
        Refused("ModelOptions", new() { OutputColumnName = "Text", Model = _model, ModelOptions = new() });
        var traced = new TextGenerationOptions { Trace = true };
        Assert.Contains(
            "Trace", Assert.ThrowsAny<ArgumentException>(() => catalog.GenerateText("Text", "Prompt", _model, traced)).Message, StringComparison.Ordinal);

        int tooDeep = _model.Configuration.DecoderLayerCount + 1;
        TextGenerationEstimator estimator = Pipeline(s_options with { Exit = new ExitPolicy { MinimumLayer = tooDeep } });
        Assert.Contains("MinimumLayer", Assert.Throws<ArgumentException>(() => estimator.Fit(Load(DemoRow.Create(1)))).Message, StringComparison.Ordinal);

        void Refused(string said, TextGenerationEstimator.Options options) =>
            Assert.Contains(said, Assert.ThrowsAny<ArgumentException>(() => catalog.GenerateText(options)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_model_that_was_given_outlives_the_transformer_and_one_that_was_loaded_does_not()
    {
        IDataView data = Load(DemoRow.Create(1));
        Pipeline(s_options).Fit(data).Dispose();
        Assert.NotNull(_model.Generate("name[Zizzi]", s_options).Text);

        TextGenerationTransformer owner = _context.Transforms.Text.GenerateText("Text", "Prompt", TestModels.Bundle(TestModels.Demo), s_options).Fit(data);
        IDataView output = owner.Transform(data);
        owner.Dispose();
        owner.Dispose();
        Assert.Throws<ObjectDisposedException>(() => output.GetColumn<string>("Text").Count());
    }

    [Fact]
    public void The_contexts_device_holds_where_the_options_name_none()
    {
        Assert.SkipWhen(OrtEnv.Instance().GetAvailableProviders().Contains("CUDAExecutionProvider"), "ONNX Runtime has a GPU here.");
        var context = new MLContext { GpuDeviceId = 0, FallbackToCpu = false };
        IDataView data = context.Data.LoadFromEnumerable(DemoRow.Create(1));
        Assert.Throws<InvalidOperationException>(() => context.Transforms.Text.GenerateText("Text", "Prompt", TestModels.Bundle(TestModels.Demo)).Fit(data));

        context.FallbackToCpu = true;
        context.Transforms.Text.GenerateText("Text", "Prompt", TestModels.Bundle(TestModels.Demo)).Fit(data).Dispose();

        var options = new TextGenerationEstimator.Options
        {
            OutputColumnName = "Text",
            InputColumnName = "Prompt",
            ModelPath = TestModels.Bundle(TestModels.Demo),
            ModelOptions = new EarlyExitModelOptions { GpuDeviceId = 0, FallbackToCpu = false },
        };
        Assert.Throws<InvalidOperationException>(() => context.Transforms.Text.GenerateText(options).Fit(data));
    }

    private TextGenerationEstimator Pipeline(TextGenerationOptions options) =>
        _context.Transforms.Text.GenerateText(new TextGenerationEstimator.Options
        {
            OutputColumnName = "Text",
            InputColumnName = "Prompt",
            Model = _model,
            GenerationOptions = options,
            ExitLayersColumnName = "Layers",
        });

    private IDataView Load(DemoRow[] rows) => _context.Data.LoadFromEnumerable(rows);

    private DemoOutput[] Read(IDataView data) => [.. _context.Data.CreateEnumerable<DemoOutput>(data, reuseRowObject: false)];

    /// <summary>Everything a cursor says of every row.</summary>
    private static List<string> Dump(IDataView data)
    {
        var rows = new List<string>();
        DataViewSchema schema = data.Schema;
        using DataViewRowCursor cursor = data.GetRowCursor(schema);
        ValueGetter<DataViewRowId> getId = cursor.GetIdGetter();
        string[] names = ["Prompt", "Name", "Text"];
        ValueGetter<ReadOnlyMemory<char>>[] texts = [.. names.Select(name => cursor.GetGetter<ReadOnlyMemory<char>>(schema[name]))];
        ValueGetter<int> getNumber = cursor.GetGetter<int>(schema["Number"]);
        ValueGetter<uint> getKey = cursor.GetGetter<uint>(schema["Key"]);
        ValueGetter<VBuffer<float>> getNumbers = cursor.GetGetter<VBuffer<float>>(schema["Numbers"]);
        ValueGetter<VBuffer<int>> getLayers = cursor.GetGetter<VBuffer<int>>(schema["Layers"]);
        DataViewRowId id = default;
        ReadOnlyMemory<char> text = default;
        int number = 0;
        uint key = 0;
        VBuffer<float> numbers = default;
        VBuffer<int> layers = default;
        Assert.Equal(-1, cursor.Position);
        while (cursor.MoveNext())
        {
            getId(ref id);
            getNumber(ref number);
            getKey(ref key);
            getNumbers(ref numbers);
            getLayers(ref layers);
            string all = string.Join('|', texts.Select(get =>
            {
                get(ref text);
                return text.ToString();
            }));
            string vectors = $"[{string.Join(' ', numbers.DenseValues())}] [{string.Join(' ', layers.DenseValues())}]";
            rows.Add($"{cursor.Position} {cursor.Batch} {id} {number} {key} {vectors} {all}");
        }

        Assert.Equal(-1, cursor.Position);
        return rows;
    }

    private sealed class BlobRow
    {
        public string Prompt { get; set; } = "";

        [Blob.Type]
        public Blob Blob { get; set; } = new();
    }

    private sealed class NumberRow
    {
        public float Prompt { get; set; }
    }

    private sealed class WordsOutput
    {
        public string[] Words { get; set; } = [];
    }
}
