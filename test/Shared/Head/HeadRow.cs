using Microsoft.ML.EarlyExit.Head;

namespace Microsoft.ML.EarlyExit;

/// <summary>Weights of the LM head, for tests that compute with them.</summary>
internal static class HeadRow
{
    extension(LanguageModelHead head)
    {
        /// <summary>A token's weights.</summary>
        public float[] Row(int id)
        {
            float[] row = new float[head.Width];
            head.CopyRow(id, row);
            return row;
        }
    }
}
