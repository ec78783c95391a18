using System.Text;

namespace Microsoft.ML.EarlyExit.Tool.Output;

/// <summary>What is said beside the results. Where it cannot be written it is lost, and nothing else with it.</summary>
internal sealed class LenientWriter(TextWriter inner) : TextWriter
{
    public override Encoding Encoding => inner.Encoding;

    public override void Write(char value) => Try(() => inner.Write(value));

    public override void Write(string? value) => Try(() => inner.Write(value));

    public override void Write(char[] buffer, int index, int count) => Try(() => inner.Write(buffer, index, count));

    public override void Flush() => Try(inner.Flush);

    private static void Try(Action write)
    {
        try
        {
            write();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            // A full disk, a reader that has left, or a descriptor that is closed: there is nobody to tell.
        }
    }
}
