using Microsoft.ML.Data;
using Microsoft.ML.EarlyExit.Memory;

namespace Microsoft.ML.EarlyExit.Tests;

[Collection("Native memory")]
public sealed class ReadAheadTests
{
    private const int BatchSize = 3;

    private static readonly TextGenerationOptions s_options = new() { Prefix = "describe: ", MaxNewTokens = 10, BatchSize = BatchSize };

    private readonly MLContext _context = new(seed: 1);
    private readonly List<int> _read = [];

    [Fact]
    public void Rows_are_read_in_order_and_only_as_slots_become_free()
    {
        IDataView output = Transform(s_options, Rows(100));
        using DataViewRowCursor cursor = output.GetRowCursor(output.Schema);
        ValueGetter<ReadOnlyMemory<char>> getText = cursor.GetGetter<ReadOnlyMemory<char>>(output.Schema["Text"]);
        ValueGetter<int> getNumber = cursor.GetGetter<int>(output.Schema["Number"]);
        ReadOnlyMemory<char> text = default;
        int number = 0;
        for (int row = 0; cursor.MoveNext(); row++)
        {
            getNumber(ref number);
            Assert.Equal(row, number);
            if (row == 0)
                Assert.Single(_read);
            getText(ref text);
            Assert.Equal(TestModels.Model(TestModels.Demo).Generate(Prompt(row), s_options, TestContext.Current.CancellationToken).Text, text.ToString());
            Assert.InRange(_read.Count, Math.Min(100, row + BatchSize), row + (8 * BatchSize));
        }

        Assert.Equal(Enumerable.Range(0, 100), _read);
    }

    [Fact]
    public void Rows_that_are_passed_over_are_not_generated()
    {
        var generated = new List<string>();
        IDataView output = Transform(s_options, Rows(40));
        using DataViewRowCursor cursor = output.GetRowCursor(output.Schema);
        ValueGetter<ReadOnlyMemory<char>> getText = cursor.GetGetter<ReadOnlyMemory<char>>(output.Schema["Text"]);
        ReadOnlyMemory<char> text = default;
        for (int row = 0; cursor.MoveNext(); row++)
        {
            if (row % 13 != 5)
                continue;
            getText(ref text);
            generated.Add(text.ToString());
        }

        Assert.Equal(
            new[] { 5, 18, 31 }.Select(row => TestModels.Model(TestModels.Demo).Generate(Prompt(row), s_options, TestContext.Current.CancellationToken).Text),
            generated);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(5)]
    public void What_the_source_throws_comes_after_the_rows_before_it(int failing)
    {
        IDataView output = Transform(s_options, Rows(20, failing));
        var texts = new List<string>();

        var exception = Assert.Throws<InvalidDataException>(() => texts.AddRange(output.GetColumn<string>("Text")));

        Assert.Equal($"Line {failing} is damaged.", exception.Message);
        Assert.Equal(failing, texts.Count);
    }

    [Fact]
    public void A_reader_that_stops_half_way_leaves_nothing_behind()
    {
        IDataView output = Transform(s_options, Rows(1000));
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = NativeBuffer.LiveBytes;

        Assert.Equal(4, output.GetColumn<string>("Text").Take(4).Count());

        Assert.Equal(before, NativeBuffer.LiveBytes);
        Assert.InRange(_read.Count, 4, 4 + (8 * BatchSize));
    }

    [Fact]
    public void Disposing_the_transformer_ends_its_cursors_and_releases_the_model_with_the_last()
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = NativeBuffer.LiveBytes;
        IDataView data = _context.Data.LoadFromEnumerable(Rows(50));
        TextGenerationTransformer transformer = _context.Transforms.Text
            .GenerateText("Text", "Prompt", TestModels.Bundle(TestModels.Demo), s_options).Fit(data);
        EarlyExitModel model = transformer.Model;
        IDataView output = transformer.Transform(data);
        using (DataViewRowCursor first = output.GetRowCursor(output.Schema))
        using (DataViewRowCursor second = output.GetRowCursor(output.Schema))
        {
            ReadOnlyMemory<char> text = default;
            ValueGetter<ReadOnlyMemory<char>> getFirst = first.GetGetter<ReadOnlyMemory<char>>(output.Schema["Text"]);
            ValueGetter<ReadOnlyMemory<char>> getSecond = second.GetGetter<ReadOnlyMemory<char>>(output.Schema["Text"]);
            Assert.True(first.MoveNext());
            getFirst(ref text);
            Assert.True(second.MoveNext());

            transformer.Dispose();

            // What was generated is there; what was not cannot be any more.
            getFirst(ref text);
            Assert.Throws<ObjectDisposedException>(() => getSecond(ref text));
            while (first.MoveNext())
            {
            }

            Assert.NotEqual(before, NativeBuffer.LiveBytes);
        }

        Assert.Equal(before, NativeBuffer.LiveBytes);
        Assert.Throws<ObjectDisposedException>(() => model.Generate("name[Zizzi]", s_options, TestContext.Current.CancellationToken));
        Assert.Throws<ObjectDisposedException>(() => output.GetColumn<string>("Text").Count());
        Assert.Equal(50, output.GetColumn<int>("Number").Count());
    }

    private static string Prompt(int row) => DemoRow.Create(row + 1)[row].Prompt!;

    private IDataView Transform(TextGenerationOptions options, IEnumerable<DemoRow> rows)
    {
        IDataView data = _context.Data.LoadFromEnumerable(rows);
        return _context.Transforms.Text.GenerateText("Text", "Prompt", TestModels.Model(TestModels.Demo), options).Fit(data).Transform(data);
    }

    private IEnumerable<DemoRow> Rows(int count, int failing = -1)
    {
        foreach (DemoRow row in DemoRow.Create(count))
        {
            if (row.Number == failing)
                throw new InvalidDataException($"Line {failing} is damaged.");
            _read.Add(row.Number);
            yield return row;
        }
    }
}
