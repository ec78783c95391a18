using Microsoft.ML.EarlyExit.Memory;

namespace Microsoft.ML.EarlyExit.Tests;

/// <summary>Weights files that are changed where they lie, under a loaded model.</summary>
[Collection("Native memory")]
public sealed class ChangedWeightsTests
{
    private static readonly GenerationInput[] s_rows = [GenerationInput.FromTokenIds([9, 12, 40, 1])];
    private static readonly TextGenerationOptions s_options = new()
    {
        MaxNewTokens = 6, MinNewTokens = 6, Exit = new ExitPolicy { MinimumLayer = 2, Threshold = 0.3f },
    };

    /// <summary>What others do to the file.</summary>
    private static readonly Dictionary<string, Action<string>> s_changes = new()
    {
        ["emptied"] = path => SetLength(path, _ => 0),
        ["cut in half"] = path => SetLength(path, length => length / 2),
        ["longer"] = path => SetLength(path, length => length + 1),
        ["written over in place"] = path => WriteOver(path, 0xFF),
    };

    public static TheoryData<string> Changes => [.. s_changes.Keys];

    [Theory]
    [MemberData(nameof(Changes))]
    public async Task A_call_after_the_change_is_refused_and_names_the_file(string change)
    {
        using var tampered = new TamperedBundle();
        using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);
        model.Generate(s_rows, s_options, TestContext.Current.CancellationToken);
        s_changes[change](tampered.File("weights.bin"));
        Check(Assert.Throws<InvalidModelException>(() => model.Generate(s_rows, s_options, TestContext.Current.CancellationToken)));
        Check(Assert.Throws<InvalidModelException>(model.StartTeacherForcing));
        Check(await Assert.ThrowsAsync<InvalidModelException>(async () =>
        {
            await foreach (GeneratedToken token in model.GenerateStreamingAsync(s_rows[0], s_options, TestContext.Current.CancellationToken))
                Assert.Fail($"{token} was generated.");
        }));

        void Check(InvalidModelException exception)
        {
            Assert.Contains(tampered.File("weights.bin"), exception.Message);
            Assert.Contains("Load the model again", exception.Message);
            Assert.Contains("CopyWeights", exception.Message);
        }
    }

    [Theory]
    [MemberData(nameof(Changes))]
    public void Copied_weights_are_the_same_whatever_becomes_of_the_file(string change)
    {
        using var tampered = new TamperedBundle();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        long before = NativeBuffer.LiveBytes;
        using (EarlyExitModel mapped = EarlyExitModel.Load(tampered.Folder))
        using (EarlyExitModel model = EarlyExitModel.Load(tampered.Folder, new EarlyExitModelOptions { CopyWeights = true }))
        {
            IReadOnlyList<int> expected = mapped.Generate(s_rows, s_options, TestContext.Current.CancellationToken)[0].TokenIds;
            s_changes[change](tampered.File("weights.bin"));
            for (int call = 0; call < 2; call++)
                Assert.Equal(expected, model.Generate(s_rows, s_options, TestContext.Current.CancellationToken)[0].TokenIds);

            // Sessions of other layers, whose weights are read and packed only now.
            var deep = new TextGenerationOptions { MaxNewTokens = 3 };
            Assert.NotEqual(StopReason.Error, model.Generate(s_rows, deep, TestContext.Current.CancellationToken)[0].StopReason);
        }

        Assert.Equal(before, NativeBuffer.LiveBytes);
    }

    [Fact]
    public void A_copy_is_checked_against_the_hash()
    {
        using var tampered = new TamperedBundle();
        WriteOver(tampered.File("weights.bin"), 0x3F);
        Assert.Contains(
            "SHA-256",
            Assert.Throws<InvalidModelException>(() => EarlyExitModel.Load(tampered.Folder, new EarlyExitModelOptions { CopyWeights = true })).Message);
    }

    [Fact]
    public void A_folder_that_is_moved_away_or_replaced_disturbs_no_weights()
    {
        using var tampered = new TamperedBundle();
        using EarlyExitModel model = EarlyExitModel.Load(tampered.Folder);
        IReadOnlyList<int> expected = model.Generate(s_rows, s_options, TestContext.Current.CancellationToken)[0].TokenIds;
        string weights = tampered.File("weights.bin");
        File.Move(weights, weights + ".old");
        File.WriteAllBytes(weights, new byte[8]);
        Assert.Equal(expected, model.Generate(s_rows, s_options, TestContext.Current.CancellationToken)[0].TokenIds);
    }

    private static void SetLength(string path, Func<long, long> change)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        file.SetLength(change(file.Length));
    }

    private static void WriteOver(string path, byte value)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);
        file.Write([value, value, value, value]);
    }
}
